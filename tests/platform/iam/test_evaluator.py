"""What the evaluator does not know it refuses: a wrong guess would be a wall that is none."""

from __future__ import annotations

from typing import Any

import pytest

from iam.evaluator import Principal, Request, RequestError, decide
from iam.policies import parse
from iam.wildcards import PolicyError

GOOD: dict[str, Any] = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
QUEUE = "arn:aws:sqs:eu-west-1:111122223333:q"
SOMEBODY = Principal("arn:aws:iam::111122223333:user/somebody")


def document(**changes: Any) -> dict[str, Any]:
    """A policy of one statement; a change to None leaves an element out."""
    statement = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"Effect": "allow"}, id="an effect in lower case"),
        pytest.param({"NotAction": "sqs:*"}, id="Action and NotAction"),
        pytest.param({"Action": None}, id="no action"),
        pytest.param({"Action": []}, id="no action in the list"),
        pytest.param({"Action": "SendMessage"}, id="an action without its service"),
        pytest.param({"Action": "sqs:Send Message"}, id="an action with a space"),
        pytest.param({"Resource": None}, id="no resource"),
        pytest.param({"NotResource": "*"}, id="Resource and NotResource"),
        pytest.param({"Resource": "queue"}, id="a resource that is no ARN"),
        pytest.param({"Resource": "arn:aws:sqs:*"}, id="an ARN of fewer parts"),
        pytest.param({"Resource": "arn:aws:s*s:::q"}, id="a wildcard in the service"),
        pytest.param({"Resource": "arn:aws:sqs:${aws:username}:1:q"}, id="a variable too early"),
        pytest.param({"Resource": "arn:aws:sqs:::${aws:username"}, id="a variable without end"),
        pytest.param({"Resource": "arn:aws:sqs:::${aws:Unheard}"}, id="a variable nobody knows"),
        pytest.param({"Resource": "arn:aws:sqs:::${aws:TagKeys}"}, id="a variable of many"),
        pytest.param({"NotPrincipal": "*"}, id="NotPrincipal"),
        pytest.param({"Principal": {"AWS": "arn:aws:iam::1:role/a*"}}, id="part of a principal"),
        pytest.param({"Principal": {"CanonicalUser": "a"}}, id="a principal of another kind"),
        pytest.param({"Comment": "x"}, id="an element nobody knows"),
        pytest.param({"Condition": {"StringMatches": {"aws:username": "a"}}}, id="an operator"),
        pytest.param({"Condition": {"BinaryEquals": {"aws:username": "a"}}}, id="BinaryEquals"),
        pytest.param({"Condition": {"NullIfExists": {"aws:username": "true"}}}, id="NullIfExists"),
        pytest.param(
            {"Condition": {"ForEachValue:StringEquals": {"aws:TagKeys": "a"}}}, id="a quantifier"
        ),
        pytest.param({"Condition": {"StringEquals": {}}}, id="an operator without keys"),
        pytest.param({"Condition": {"StringEquals": {"aws:Unheard": "a"}}}, id="a key"),
        pytest.param({"Condition": {"StringEquals": {"aws:PrincipalTag/": "a"}}}, id="no tag"),
        pytest.param(
            {"Condition": {"StringEquals": {"dynamodb:LeadingKeys": "a"}}},
            id="several values without a quantifier",
        ),
        pytest.param(
            {"Condition": {"ForAllValues:StringEquals": {"aws:PrincipalTag/a": "a"}}},
            id="one value with a quantifier",
        ),
        pytest.param(
            {"Condition": {"Bool": {"aws:SecureTransport": "${aws:username}"}}},
            id="a variable where none may be",
        ),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(changes: dict[str, Any]) -> None:
    """Also what IAM itself would refuse."""
    with pytest.raises(PolicyError):
        parse(document(**changes))


def test_a_document_that_is_not_understood_is_refused() -> None:
    """Its version, and what stands beside the statements."""
    with pytest.raises(PolicyError, match="Version"):
        parse({"Version": "2020-01-01", "Statement": GOOD})
    with pytest.raises(PolicyError, match="Statements"):
        parse({"Version": "2012-10-17", "Statements": GOOD})


@pytest.mark.parametrize(
    "context",
    [
        {"aws:Unheard": "a"},
        {"dynamodb:LeadingKeys": "acme"},
        {"aws:ResourceTag/a": ("x", "y")},
        {"aws:ResourceTag/a": "x", "aws:ResourceTag/A": "y"},
    ],
    ids=["a-key-nobody-knows", "one-of-several", "several-of-one", "a-tag-in-two-cases"],
)
def test_a_request_that_cannot_be_is_refused(context: dict[str, Any]) -> None:
    """A key that no policy could ask for would be ignored, and hide a slip."""
    with pytest.raises(RequestError):
        Request(SOMEBODY, "sqs:SendMessage", QUEUE, context)


@pytest.mark.parametrize("value", ["*", "a*", "acme#1", "a?", "${aws:username}", "x" * 257])
def test_a_sessions_tag_holds_no_wildcard(value: str) -> None:
    """STS takes letters, digits, spaces and _.:/=+-@ alone: none of them widens a pattern."""
    with pytest.raises(RequestError):
        Principal("arn:aws:sts::111122223333:assumed-role/r/s", tags={"tenant": value})


def test_what_a_request_fills_in_is_text() -> None:
    """A name with an asterisk fits itself, and nothing more."""
    policy = parse(document(Resource="arn:aws:sqs:eu-west-1:111122223333:${aws:username}"))

    def allowed(queue: str) -> bool:
        arn = QUEUE.removesuffix("q") + queue
        request = Request(SOMEBODY, "sqs:SendMessage", arn, {"aws:username": "a*"})
        return decide(request, identity=[policy]).allowed

    assert allowed("a*")
    assert not allowed("ab")


def test_a_wildcard_reaches_to_the_end_of_its_part() -> None:
    """Of an ARN: not into the next one; of a text: over everything, a line feed too."""
    policy = parse(
        document(
            Resource="arn:aws:sqs:*:111122223333:q",
            Condition={"StringLike": {"aws:PrincipalTag/team": "a*z"}},
        )
    )

    def allowed(arn: str, team: str) -> bool:
        # An address has line feeds nowhere; a partition's name may.
        who = Principal(SOMEBODY.arn, tags={"team": team})
        return decide(Request(who, "sqs:SendMessage", arn), identity=[policy]).allowed

    assert allowed(QUEUE, "a:/ z")
    assert not allowed("arn:aws:sqs:eu-west-1:999999999999:111122223333:q", "az")
    keys = parse(
        document(Condition={"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "acme#*"}})
    )
    request = Request(SOMEBODY, "sqs:SendMessage", QUEUE, {"dynamodb:LeadingKeys": ("acme#\n",)})
    assert decide(request, identity=[keys]).allowed


def test_it_says_which_statement_decided() -> None:
    """Of an allow and of an explicit deny."""
    policy = parse(
        {
            "Version": "2012-10-17",
            "Statement": [
                GOOD | {"Sid": "Send"},
                GOOD | {"Sid": "Never", "Effect": "Deny", "Action": "sqs:PurgeQueue"},
            ],
        }
    )

    def sid(action: str) -> str:
        return decide(Request(SOMEBODY, action, QUEUE), identity=[policy]).sid

    assert sid("sqs:SendMessage") == "Send"
    assert sid("sqs:PurgeQueue") == "Never"
    assert sid("sqs:DeleteQueue") == ""
