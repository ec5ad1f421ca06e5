"""The stand-in's SQS API: what it answers, and what it refuses by which error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tenantry_local.aws_error_standin import AwsError
from tenantry_local.sqs_api_standin import Sqs
from tenantry_local.sqs_queues_standin import Poll

MEBIBYTE = 1_048_576
QUEUE_ARN = "arn:aws:sqs:eu-west-1:000000000000:q"


class Timer:
    """A timer of the account's clock."""

    def __init__(self, at: float, do: Callable[[], None]) -> None:
        self.at = at
        self.do = do
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Account:
    """The API with a clock and timers that a test moves, and one queue."""

    def __init__(self, **attributes: str) -> None:
        self.now = 1_000.0
        self.timers: list[Timer] = []
        self.sqs = Sqs(
            "http://127.0.0.1:4566",
            clock=lambda: self.now,
            wall_clock=lambda: 1_790_000_000.5,
            call_at=self._call_at,
        )
        self.url = self.call("CreateQueue", QueueName="q", Attributes=attributes)["QueueUrl"]

    def _call_at(self, at: float, do: Callable[[], None]) -> Timer:
        timer = Timer(at, do)
        self.timers.append(timer)
        return timer

    def call(self, operation: str, **request: Any) -> Any:
        return self.sqs.operations[operation](request)

    def __call__(self, operation: str, **request: Any) -> Any:
        """A call on the queue."""
        return self.call(operation, QueueUrl=self.url, **request)

    def refused(self, operation: str, **request: Any) -> AwsError:
        with pytest.raises(AwsError) as caught:
            self(operation, **request)
        return caught.value

    def poll(self, **request: Any) -> list[Any]:
        """Start a long poll; what it was answered so far."""
        answers: list[Any] = []
        poll = self("ReceiveMessage", **request)
        assert isinstance(poll, Poll)
        poll.answer = answers.append
        return answers

    def pass_time(self, seconds: float) -> None:
        """Timers fire at their times."""
        end = self.now + seconds
        while due := [one for one in self.timers if not one.is_cancelled and one.at <= end]:
            first = min(due, key=lambda one: one.at)
            self.timers.remove(first)
            self.now = max(self.now, first.at)
            first.do()
        self.now = end

    def counts(self) -> list[int]:
        """Visible, in flight, delayed."""
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        found = self("GetQueueAttributes", AttributeNames=names)["Attributes"]
        return [int(found[name]) for name in names]


@pytest.fixture
def account() -> Account:
    return Account()


def entries(*bodies: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"Id": str(n), "MessageBody": body, **fields} for n, body in enumerate(bodies)]


def bodies(answer: Any) -> list[str]:
    return [message["Body"] for message in answer.get("Messages", [])]


# Queues


def test_a_queue_is_made_once(account: Account) -> None:
    """Asked for again as it is, it is the same; asked for otherwise, it is refused."""
    made = account.call("CreateQueue", QueueName="q")
    assert made == {"QueueUrl": account.url}

    error = account.refused("CreateQueue", QueueName="q", Attributes={"VisibilityTimeout": "31"})
    assert ("QueueNameExists", "QueueAlreadyExists") == (error.kind, error.code)
    again = {"VisibilityTimeout": "30", "MaximumMessageSize": "1048576"}
    assert made == account.call("CreateQueue", QueueName="q", Attributes=again)


@pytest.mark.parametrize(
    ("name", "attributes", "kind"),
    [
        ("q!", {}, "InvalidParameterValueException"),
        ("q" * 81, {}, "InvalidParameterValueException"),
        ("q.fifo", {}, "UnsupportedOperation"),
        ("p", {"FifoQueue": "true"}, "UnsupportedOperation"),
        ("p", {"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ("p", {"MaximumMessageSize": "1048577"}, "InvalidAttributeValue"),
        ("p", {"DelaySeconds": "soon"}, "InvalidAttributeValue"),
        ("p", {"Colour": "red"}, "InvalidAttributeName"),
        ("p", {"RedrivePolicy": "{}"}, "InvalidParameterValueException"),
        (
            "p",
            {
                "RedrivePolicy": '{"deadLetterTargetArn": "%s", "maxReceiveCount": 1001}'
                % QUEUE_ARN
            },
            "InvalidParameterValueException",
        ),
    ],
)
def test_what_is_no_queue_is_not_made(
    account: Account, name: str, attributes: dict[str, str], kind: str
) -> None:
    """And nothing is left of it."""
    with pytest.raises(AwsError) as caught:
        account.call("CreateQueue", QueueName=name, Attributes=attributes)

    assert caught.value.kind == kind
    assert [account.url] == account.call("ListQueues")["QueueUrls"]


def test_attributes_are_told_as_they_were_set(account: Account) -> None:
    """With their defaults; an empty value takes one away."""
    account("SetQueueAttributes", Attributes={"Policy": "{}", "VisibilityTimeout": "5"})
    found = account("GetQueueAttributes", AttributeNames=["All"])["Attributes"]
    assert found["QueueArn"] == "arn:aws:sqs:eu-west-1:000000000000:q"
    assert found["CreatedTimestamp"] == "1790000000"
    assert {"Policy": "{}", "VisibilityTimeout": "5", "DelaySeconds": "0"}.items() <= found.items()

    account("SetQueueAttributes", Attributes={"Policy": ""})
    assert account("GetQueueAttributes", AttributeNames=["Policy"]) == {}
    assert account.refused("GetQueueAttributes", AttributeNames=["Colour"]).kind == (
        "InvalidAttributeName"
    )


def test_a_redrive_policy_names_a_queue_that_is_there(account: Account) -> None:
    """And another one, else nothing changes; taken away, there are no dead letters."""
    for name in ("q", "d"):
        arn = f"arn:aws:sqs:eu-west-1:000000000000:{name}"
        policy = {"deadLetterTargetArn": arn, "maxReceiveCount": 1}
        wanted = {"RedrivePolicy": json.dumps(policy)}
        error = account.refused("SetQueueAttributes", Attributes=wanted)
        assert "Dead letter target does not exist" in error.message
    assert account("GetQueueAttributes", AttributeNames=["RedrivePolicy"]) == {}

    dead = account.call("CreateQueue", QueueName="d")["QueueUrl"]
    account("SetQueueAttributes", Attributes=wanted)
    sources = account.call("ListDeadLetterSourceQueues", QueueUrl=dead)
    assert sources == {"queueUrls": [account.url]}
    account("SendMessage", MessageBody="a")
    account.call("DeleteQueue", QueueUrl=dead)
    for _ in range(3):
        assert bodies(account("ReceiveMessage", VisibilityTimeout=0)) == ["a"]
    account.call("CreateQueue", QueueName="d")
    account("SetQueueAttributes", Attributes=wanted)
    account("SetQueueAttributes", Attributes={"RedrivePolicy": ""})
    assert bodies(account("ReceiveMessage", VisibilityTimeout=0)) == ["a"]


def test_queues_are_listed_by_prefix_and_in_pages(account: Account) -> None:
    """In the order of their names."""
    for name in ("b-2", "b-1", "a"):
        account.call("CreateQueue", QueueName=name)
    first = account.call("ListQueues", QueueNamePrefix="b", MaxResults=1)
    second = account.call(
        "ListQueues", QueueNamePrefix="b", MaxResults=1, NextToken=first["NextToken"]
    )

    assert [["http://127.0.0.1:4566/000000000000/b-1"], [account.url[:-1] + "b-2"]] == [
        first["QueueUrls"],
        second["QueueUrls"],
    ]
    assert "NextToken" not in second
    assert account.call("ListQueues", QueueNamePrefix="z") == {}


def test_tags_are_kept(account: Account) -> None:
    """Added to, and taken away."""
    account("TagQueue", Tags={"a": "1", "b": "2"})
    account("UntagQueue", TagKeys=["a", "c"])

    assert account("ListQueueTags") == {"Tags": {"b": "2"}}


@pytest.mark.parametrize("operation", ["SendMessage", "ReceiveMessage", "PurgeQueue"])
def test_a_queue_that_is_not_there_is_said_to_be(account: Account, operation: str) -> None:
    """Also after it was deleted, by whichever host it is named."""
    account("DeleteQueue")
    error = account.refused(operation, MessageBody="a")
    assert error.kind == "QueueDoesNotExist"
    assert error.code == "AWS.SimpleQueueService.NonExistentQueue"

    account.call("CreateQueue", QueueName="q")
    account.call(operation, QueueUrl="https://sqs.example/1/q", MessageBody="a")


def test_a_poll_on_a_queue_that_is_deleted_learns_it(account: Account) -> None:
    """At once."""
    (answers,) = [account.poll(WaitTimeSeconds=20)]
    account("DeleteQueue")

    assert ["QueueDoesNotExist"] == [answer.kind for answer in answers]


# Sending


def test_a_message_is_answered_with_its_digests(account: Account) -> None:
    """Of body and attributes, which a receive tells too."""
    attributes = {
        "b": {"DataType": "Number", "StringValue": "1"},
        "a": {"DataType": "Binary.x", "BinaryValue": "AQI="},
    }
    sent = account("SendMessage", MessageBody="ü", MessageAttributes=attributes)
    (found,) = account(
        "ReceiveMessage",
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    )["Messages"]
    by_hand = (
        b"\0\0\0\x01a\0\0\0\x08Binary.x\x02\0\0\0\x02\x01\x02"
        b"\0\0\0\x01b\0\0\0\x06Number\x01\0\0\0\x011"
    )

    assert sent["MD5OfMessageBody"] == hashlib.md5("ü".encode()).hexdigest()
    assert sent["MD5OfMessageAttributes"] == hashlib.md5(by_hand).hexdigest()
    assert {key: found[key] for key in ("MessageId", "Body", "MessageAttributes")} == {
        "MessageId": sent["MessageId"],
        "Body": "ü",
        "MessageAttributes": attributes,
    }
    assert found["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert found["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert found["Attributes"] == {
        "ApproximateFirstReceiveTimestamp": "1790000000500",
        "ApproximateReceiveCount": "1",
        "SenderId": "AIDASTANDINSTANDINSTA",
        "SentTimestamp": "1790000000500",
    }


def test_a_message_tells_when_it_was_sent_and_first_received(account: Account) -> None:
    """In milliseconds of the epoch, however often it is received."""
    account("SendMessage", MessageBody="x", MessageGroupId="acme")
    names = ["SentTimestamp", "ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount"]
    for seconds in (1, 10, 10):
        account.pass_time(seconds)
        (found,) = account(
            "ReceiveMessage",
            VisibilityTimeout=10,
            MessageSystemAttributeNames=[*names, "MessageGroupId", "SequenceNumber"],
        )["Messages"]

    assert found["Attributes"] == {
        "SentTimestamp": "1790000000500",
        "ApproximateFirstReceiveTimestamp": "1790000001500",
        "ApproximateReceiveCount": "3",
        "MessageGroupId": "acme",
    }
    account.pass_time(10)
    error = account.refused("ReceiveMessage", MessageSystemAttributeNames=["Colour"])
    assert error.kind == "InvalidAttributeName"
    assert [1, 0, 0] == account.counts()


def test_a_receive_brings_the_attributes_that_it_asks_for(account: Account) -> None:
    """By name or prefix, with the digest of those; and none where it asks for none."""
    one = {"DataType": "String", "StringValue": "1"}
    account("SendMessage", MessageBody="x", MessageAttributes={"a.b": one, "a.c": one, "d": one})

    def ask(*names: str) -> Any:
        (found,) = account(
            "ReceiveMessage", VisibilityTimeout=0, MessageAttributeNames=list(names)
        )["Messages"]
        return sorted(found.get("MessageAttributes", {})), found.get("MD5OfMessageAttributes")

    assert ask("a.*")[0] == ["a.b", "a.c"]
    assert ask("d", "z")[0] == ["d"]
    assert ask() == ([], None)
    assert len({ask(name)[1] for name in ("a.*", "d", "All")}) == 3


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"MessageBody": ""}, "InvalidParameterValue"),
        ({}, "MissingParameter"),
        ({"MessageBody": "\x00"}, "InvalidMessageContents"),
        ({"MessageBody": "ü\uffff"}, "InvalidMessageContents"),
        ({"MessageBody": "a", "DelaySeconds": 901}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageGroupId": "a b"}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageGroupId": "a" * 129}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageDeduplicationId": "1"}, "InvalidParameterValue"),
        ({"MessageBody": "a" * 1_025}, "InvalidParameterValue"),
    ],
)
def test_what_sqs_does_not_take_is_refused(fields: dict[str, Any], code: str) -> None:
    """A call for one with the code that its entry has in a batch; its neighbour is taken."""
    account = Account(MaximumMessageSize="1024")
    error = account.refused("SendMessage", **fields)
    answer = account("SendMessageBatch", Entries=[{"Id": "x", **fields}, *entries("good")])

    assert error.code == code
    assert [("x", True, code)] == [
        (one["Id"], one["SenderFault"], one["Code"]) for one in answer["Failed"]
    ]
    assert ["0"] == [one["Id"] for one in answer["Successful"]]
    assert [1, 0, 0] == account.counts()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a b", {"DataType": "String", "StringValue": "x"}),
        (".a", {"DataType": "String", "StringValue": "x"}),
        ("a..b", {"DataType": "String", "StringValue": "x"}),
        ("AWS.a", {"DataType": "String", "StringValue": "x"}),
        ("a", {"DataType": "Text", "StringValue": "x"}),
        ("a", {"StringValue": "x"}),
        ("a", {"DataType": "String", "StringValue": ""}),
        ("a", {"DataType": "Binary", "StringValue": "x"}),
        ("a", {"DataType": "Binary", "BinaryValue": "!"}),
        ("a", {"DataType": "String", "StringValue": "\x00"}),
    ],
)
def test_attributes_that_sqs_does_not_take_are_refused(
    account: Account, name: str, value: dict[str, str]
) -> None:
    """By name, type or value."""
    error = account.refused("SendMessage", MessageBody="x", MessageAttributes={name: value})

    assert error.code in {"InvalidParameterValue", "InvalidMessageContents"}


def test_name_type_and_value_of_attributes_count_for_the_size() -> None:
    """In UTF-8; so many bytes as the queue takes are taken."""
    account = Account(MaximumMessageSize="1024")
    attributes = {"name": {"DataType": "String", "StringValue": "é"}}
    own = len("name") + len("String") + 2
    account("SendMessage", MessageBody="x" * (1_024 - own), MessageAttributes=attributes)
    error = account.refused(
        "SendMessage", MessageBody="x" * (1_025 - own), MessageAttributes=attributes
    )

    assert "shorter than 1024 bytes" in error.message


def test_more_than_ten_attributes_are_too_many(account: Account) -> None:
    """And ten are not."""
    attributes = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(11)}
    error = account.refused("SendMessage", MessageBody="x", MessageAttributes=attributes)
    assert "[11]" in error.message

    del attributes["a3"]
    account("SendMessage", MessageBody="x", MessageAttributes=attributes)


@pytest.mark.parametrize(
    ("batch", "kind"),
    [
        ([], "EmptyBatchRequest"),
        (entries(*"abcdefghijk"), "TooManyEntriesInBatchRequest"),
        ([{"Id": "a b", "MessageBody": "x"}], "InvalidBatchEntryId"),
        ([{"Id": "a" * 81, "MessageBody": "x"}], "InvalidBatchEntryId"),
        ([{"MessageBody": "x"}], "InvalidBatchEntryId"),
        ([*entries("a"), *entries("b")], "BatchEntryIdsNotDistinct"),
        (entries("é" * (MEBIBYTE // 4), "b" * (MEBIBYTE // 2 + 1)), "BatchRequestTooLong"),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(
    account: Account, batch: list[Any], kind: str
) -> None:
    """And nothing of it is taken."""
    error = account.refused("SendMessageBatch", Entries=batch)

    assert (kind, f"AWS.SimpleQueueService.{kind}") == (error.kind, error.code)
    assert [0, 0, 0] == account.counts()


def test_a_batch_of_one_mebibyte_is_taken(account: Account) -> None:
    """Bytes in UTF-8, not characters."""
    account("SendMessageBatch", Entries=entries("é" * (MEBIBYTE // 4), "b" * (MEBIBYTE // 2)))

    assert [2, 0, 0] == account.counts()


def test_a_delay_is_the_messages_or_the_queues() -> None:
    """The message's own first, also if it is none."""
    account = Account(DelaySeconds="60")
    account("SendMessage", MessageBody="queue's")
    account("SendMessageBatch", Entries=entries("none", DelaySeconds=0))
    account("SendMessage", MessageBody="own", DelaySeconds=5)

    assert [1, 0, 2] == account.counts()
    account.pass_time(5)
    assert [2, 0, 1] == account.counts()


# Receiving


@pytest.mark.parametrize(
    "fields",
    [
        {"MaxNumberOfMessages": 0},
        {"MaxNumberOfMessages": 11},
        {"WaitTimeSeconds": 21},
        {"VisibilityTimeout": 43_201},
        {"WaitTimeSeconds": "1"},
    ],
)
def test_a_receive_out_of_bounds_is_refused(account: Account, fields: dict[str, Any]) -> None:
    """And names the parameter."""
    error = account.refused("ReceiveMessage", **fields)

    assert error.code == "InvalidParameterValue"
    assert next(iter(fields)) in error.message


def test_a_poll_is_answered_when_a_message_comes(account: Account) -> None:
    """The one that came first, with no more than it asked for; the next one has the rest."""
    polls = [account.poll(WaitTimeSeconds=20) for _ in range(3)]
    account("SendMessageBatch", Entries=entries("a", "b"))
    assert [1, 1, 0] == [len(answers) for answers in polls]
    account("SendMessage", MessageBody="c")

    assert [["a"], ["b"], ["c"]] == [bodies(answers[0]) for answers in polls]
    assert [0, 3, 0] == account.counts()
    assert all(timer.is_cancelled for timer in account.timers)


def test_a_poll_ends_with_nothing_when_its_time_is_over(account: Account) -> None:
    """Each in its own time, and no timer is left."""
    long, short = account.poll(WaitTimeSeconds=20), account.poll(WaitTimeSeconds=5)
    account.pass_time(4.9)
    assert [[], []] == [long, short]
    account.pass_time(0.2)
    assert [[], [{}]] == [long, short]
    account.pass_time(15)
    assert [[{}], [{}]] == [long, short]

    assert [] == [timer for timer in account.timers if not timer.is_cancelled]


def test_a_poll_is_answered_when_a_visibility_timeout_ends(account: Account) -> None:
    """Or is ended by somebody."""
    account("SendMessage", MessageBody="a")
    account("ReceiveMessage", VisibilityTimeout=5)
    answers = account.poll(WaitTimeSeconds=20)
    account.pass_time(5)
    (message,) = answers[0]["Messages"]
    assert message["Body"] == "a"

    answers = account.poll(WaitTimeSeconds=20)
    handle = {"ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
    account("ChangeMessageVisibilityBatch", Entries=[{"Id": "0", **handle}])
    assert ["a"] == bodies(answers[0])


def test_a_queue_has_a_wait_of_its_own() -> None:
    """Which a receive can turn off."""
    account = Account(ReceiveMessageWaitTimeSeconds="3")
    assert account("ReceiveMessage", WaitTimeSeconds=0) == {}
    answers = account.poll()
    account.pass_time(3)

    assert answers == [{}]


def test_a_poll_on_a_dead_letter_queue_is_answered_when_one_comes(account: Account) -> None:
    """Which is when somebody asks the queue for it once too often."""
    dead = account.call("CreateQueue", QueueName="d")["QueueUrl"]
    policy = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:000000000000:d", "maxReceiveCount": 1}
    account("SetQueueAttributes", Attributes={"RedrivePolicy": json.dumps(policy)})
    account("SendMessage", MessageBody="bad")
    account("ReceiveMessage", VisibilityTimeout=0)
    answers: list[Any] = []
    account.call(
        "ReceiveMessage",
        QueueUrl=dead,
        WaitTimeSeconds=20,
        MessageSystemAttributeNames=["DeadLetterQueueSourceArn"],
    ).answer = answers.append

    assert account("ReceiveMessage") == {}
    (letter,) = answers[0]["Messages"]
    assert letter["Body"] == "bad"
    assert letter["Attributes"] == {
        "DeadLetterQueueSourceArn": "arn:aws:sqs:eu-west-1:000000000000:q"
    }


def test_a_full_queue_says_so(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """120,000 in flight: an error, and no empty answer."""
    for module in ("sqs_standin", "sqs_api_standin"):
        monkeypatch.setattr(f"tenantry_local.{module}.IN_FLIGHT_MOST", 2)
    account("SendMessageBatch", Entries=entries("a", "b", "c"))
    held = account("ReceiveMessage", MaxNumberOfMessages=10, VisibilityTimeout=5)["Messages"]
    assert len(held) == 2
    assert account.refused("ReceiveMessage").kind == "OverLimit"

    account.pass_time(5)
    assert len(account("ReceiveMessage", MaxNumberOfMessages=10)["Messages"]) == 2


# Settling


def test_handles_fail_one_by_one(account: Account) -> None:
    """With SQS's codes; what is well is done."""
    account("SendMessageBatch", Entries=entries("a", "b", "c"))
    handles = [
        message["ReceiptHandle"]
        for message in account("ReceiveMessage", MaxNumberOfMessages=3)["Messages"]
    ]
    account("DeleteMessage", ReceiptHandle=handles[0])
    account("ChangeMessageVisibility", ReceiptHandle=handles[1], VisibilityTimeout=0)
    answer = account(
        "ChangeMessageVisibilityBatch",
        Entries=[
            {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for n, (handle, seconds) in enumerate(
                [
                    (handles[0], 5),
                    (handles[1], 5),
                    (handles[2], 5),
                    ("none", 5),
                    (handles[2], 43_201),
                ]
            )
        ],
    )

    assert answer["Successful"] == [{"Id": "2"}]
    assert [(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]] == [
        ("0", "InvalidParameterValue", True),
        ("1", "AWS.SimpleQueueService.MessageNotInflight", True),
        ("3", "ReceiptHandleIsInvalid", True),
        ("4", "InvalidParameterValue", True),
    ]
    error = account.refused(
        "ChangeMessageVisibility", ReceiptHandle=handles[1], VisibilityTimeout=1
    )
    assert error.kind == "MessageNotInflight"
    assert error.code == "AWS.SimpleQueueService.MessageNotInflight"
    assert account.refused("DeleteMessage", ReceiptHandle="none").kind == "ReceiptHandleIsInvalid"
    missing = account.refused("ChangeMessageVisibility", ReceiptHandle=handles[2])
    assert missing.code == "MissingParameter"


def test_dead_letters_are_moved_back(account: Account) -> None:
    """As messages sent anew, where they came from; from a dead-letter queue only."""
    dead = account.call("CreateQueue", QueueName="d")["QueueUrl"]
    arn = "arn:aws:sqs:eu-west-1:000000000000:d"
    with pytest.raises(AwsError, match="Dead Letter Queue"):
        account.call("StartMessageMoveTask", SourceArn=arn)
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    account("SetQueueAttributes", Attributes={"RedrivePolicy": policy})
    account("SendMessage", MessageBody="bad")
    for _ in range(2):
        account("ReceiveMessage", VisibilityTimeout=0)
    seen = account.call("ReceiveMessage", QueueUrl=dead, VisibilityTimeout=0)["Messages"]
    account.call("SendMessage", QueueUrl=dead, MessageBody="nobody's")
    answers = account.poll(
        WaitTimeSeconds=20, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )
    account.call("StartMessageMoveTask", SourceArn=arn)

    (message,) = answers[0]["Messages"]
    assert ("bad", "1") == (message["Body"], message["Attributes"]["ApproximateReceiveCount"])
    (task,) = account.call("ListMessageMoveTasks", SourceArn=arn)["Results"]
    assert ("COMPLETED", 1) == (task["Status"], task["ApproximateNumberOfMessagesMoved"])
    left = account.call("ReceiveMessage", QueueUrl=dead, MaxNumberOfMessages=10)
    assert bodies(left) == ["nobody's"]
    account.call("DeleteMessage", QueueUrl=dead, ReceiptHandle=seen[0]["ReceiptHandle"])
