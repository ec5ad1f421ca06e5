"""Letters: what a call takes, and what AWS's refusals are called."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantctl.awsfailures import ResourceMissingError, failure, failure_of_entry, queue_of
from tenantctl.letters import in_batches, received
from tenantry.limits import SQS_BATCH_BYTES, SQS_BATCH_ENTRIES


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, SQS_BATCH_BYTES), max_size=40))
def test_every_entry_is_in_one_call_that_sqs_takes(sizes: list[int]) -> None:
    """In their order, and in no more calls than a next entry asks for."""
    batches = in_batches(enumerate(sizes))

    assert list(range(len(sizes))) == [n for batch in batches for n in batch]
    for batch, after in zip(batches, [*batches[1:], []], strict=False):
        total = sum(sizes[n] for n in batch)
        assert total <= SQS_BATCH_BYTES
        assert len(batch) <= SQS_BATCH_ENTRIES
        if after:
            is_full = len(batch) == SQS_BATCH_ENTRIES
            assert is_full or total + sizes[after[0]] > SQS_BATCH_BYTES


def test_a_trace_header_travels() -> None:
    """X-Ray's, which SQS keeps beside the attributes; what was not there is not sent."""
    wire = {"MessageId": "1", "Body": "b", "ReceiptHandle": "h"}
    header = {"Attributes": {"AWSTraceHeader": "Root=1-2"}}

    assert received(wire).entry(3, None) == {"Id": "3", "MessageBody": "b"}
    assert received(wire | header).entry(0, "acme")["MessageSystemAttributes"] == {
        "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2"}
    }


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("AccessDeniedException", "queue q: sqs:SendMessage is not allowed"),
        ("ExpiredTokenException", "queue q: the credentials have expired"),
        ("ThrottlingException", "queue q: SendMessageBatch is throttled"),
        ("InternalServerError", "queue q: SendMessageBatch failed on AWS's side"),
        ("SomethingNew", r"queue q: SendMessageBatch was refused \(SomethingNew\)"),
    ],
)
def test_a_failure_says_what_of_which(code: str, text: str) -> None:
    """Of a call, and of an entry in one that succeeded."""
    error = ClientError({"Error": {"Code": code}}, "SendMessageBatch")
    where = queue_of("https://sqs.example/000000000000/q")

    with pytest.raises(Exception, match=text):
        raise failure(error, "SendMessageBatch", where)
    with pytest.raises(Exception, match=text):
        raise failure_of_entry({"Code": code}, "SendMessageBatch", where)


def test_what_is_not_there_is_told_from_what_does_not_answer() -> None:
    """The one is a fact, of the other nothing is known."""
    gone = ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Query")
    silent = EndpointConnectionError(endpoint_url="http://x")

    assert isinstance(failure(gone, "Query", "table t"), ResourceMissingError)
    assert not isinstance(failure(silent, "Query", "table t"), ResourceMissingError)
    assert "cannot be reached" in str(failure(silent, "Query", "table t"))
