"""Stand-in for the queues of an account of SQS: made, found, changed, listed and deleted.

It honours names, attributes (`sqs_attributes_standin`), tags, idempotent creation, redrive
policies, and moving dead letters back, which is over before its call is answered. What is
deleted or purged is gone at once, and its name is free at once, where SQS takes up to a minute.
It knows no permissions and no other account.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tenantry_local import sqs_attributes_standin as attributes_of
from tenantry_local.aws_error_standin import AwsError
from tenantry_local.model import REGION
from tenantry_local.sqs_requests_standin import Answer
from tenantry_local.sqs_standin import Message, QueueState

ACCOUNT: Final = "000000000000"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_LIST_MOST: Final = 1_000


class Cancellable(Protocol):
    """A timer that was started."""

    def cancel(self) -> None:
        """It does not fire any more."""
        ...


@dataclass(slots=True, eq=False)
class Poll:
    """A receive that waits. Its client may be gone: SQS would not know, nor does this.

    Attributes:
        until: When it is answered with nothing.
        answer: Called once, with what it is answered.
    """

    request: Mapping[str, Any]
    until: float
    answer: Callable[[Answer | AwsError], None] = lambda _: None


@dataclass(slots=True, eq=False)
class Hosted:
    """A queue with what its account knows of it. `changed_at` and `made_at` are of the epoch."""

    name: str
    url: str
    state: QueueState
    attributes: dict[str, str]
    tags: dict[str, str]
    made_at: int
    changed_at: int
    max_message_bytes: int = 0
    delay_seconds: int = 0
    wait_seconds: int = 0
    polls: deque[Poll] = field(default_factory=deque)
    timer: Cancellable | None = None

    @property
    def arn(self) -> str:
        """Its resource name."""
        return arn_of(self.name)


class Queues:
    """Every queue of the account, and the operations on queues as such."""

    def __init__(
        self, url: str, *, clock: Callable[[], float], wall_clock: Callable[[], float]
    ) -> None:
        self._url = url
        self._clock = clock
        self._wall_clock = wall_clock
        self._by_name: dict[str, Hosted] = {}
        self._by_url: dict[str, Hosted] = {}
        self._moves: dict[str, list[Answer]] = {}
        self.operations: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "CreateQueue": self.create,
            "GetQueueUrl": self.get_url,
            "GetQueueAttributes": self.get_attributes,
            "SetQueueAttributes": self.set_attributes,
            "ListQueues": self.list,
            "DeleteQueue": self.delete,
            "PurgeQueue": self.purge,
            "TagQueue": self.tag,
            "UntagQueue": self.untag,
            "ListQueueTags": self.list_tags,
            "ListDeadLetterSourceQueues": self.list_sources,
            "StartMessageMoveTask": self.start_move,
            "ListMessageMoveTasks": self.list_moves,
        }

    def all(self) -> tuple[Hosted, ...]:
        """Every queue."""
        return tuple(self._by_name.values())

    def named(self, name: str) -> Hosted | None:
        """The queue of this name, if there is one."""
        return self._by_name.get(name)

    def find(self, request: Mapping[str, Any]) -> Hosted:
        """The queue whose URL a request names, whatever host stands in it.

        Raises:
            AwsError: There is none.
        """
        url = request.get("QueueUrl")
        queue = self._by_url.get(url) if isinstance(url, str) else None
        if queue is None:
            if not url or not isinstance(url, str):
                raise AwsError(
                    "MissingRequiredParameterException",
                    "The request must contain the parameter QueueUrl.",
                    code="MissingParameter",
                )
            queue = self._by_name.get(url.rpartition("/")[2])
            if queue is None:
                raise _missing()
            self._by_url[url] = queue
        return queue

    def create(self, request: Mapping[str, Any]) -> Answer:
        """CreateQueue."""
        name = request.get("QueueName") or ""
        if not _NAME.fullmatch(name):
            if name.endswith(".fifo"):
                attributes_of.check({"FifoQueue": "true"})
            raise _invalid_parameter(
                "Can only include alphanumeric characters, hyphens, or underscores. "
                "1 to 80 in length"
            )
        wanted: dict[str, str] = dict(request.get("Attributes") or {})
        attributes_of.check(wanted)
        queue = self._by_name.get(name)
        if queue is not None:
            for key, value in wanted.items():
                if queue.attributes.get(key, "") != value:
                    raise AwsError(
                        "QueueNameExists",
                        "A queue already exists with the same name and a different value for "
                        f"attribute {key}",
                        code="QueueAlreadyExists",
                    )
            return {"QueueUrl": queue.url}
        now = int(self._wall_clock())
        queue = Hosted(
            name,
            f"{self._url}/{ACCOUNT}/{name}",
            QueueState(name),
            attributes_of.DEFAULTS | wanted,
            dict(request.get("tags") or {}),
            now,
            now,
        )
        self._apply(queue)
        self._by_name[name] = self._by_url[queue.url] = queue
        return {"QueueUrl": queue.url}

    def get_url(self, request: Mapping[str, Any]) -> Answer:
        """GetQueueUrl."""
        queue = self._by_name.get(request.get("QueueName") or "")
        if queue is None:
            raise _missing()
        return {"QueueUrl": queue.url}

    def get_attributes(self, request: Mapping[str, Any]) -> Answer:
        """GetQueueAttributes."""
        queue = self.find(request)
        names = request.get("AttributeNames") or []
        attributes_of.check_asked(names)
        queue.state.settle(self._clock())
        known = {
            **queue.attributes,
            "QueueArn": queue.arn,
            "CreatedTimestamp": str(queue.made_at),
            "LastModifiedTimestamp": str(queue.changed_at),
            "ApproximateNumberOfMessages": str(queue.state.visible),
            "ApproximateNumberOfMessagesNotVisible": str(queue.state.in_flight),
            "ApproximateNumberOfMessagesDelayed": str(queue.state.delayed),
        }
        asked = known if "All" in names else {name: known.get(name, "") for name in names}
        found = {name: value for name, value in asked.items() if value}
        return {"Attributes": found} if found else {}

    def set_attributes(self, request: Mapping[str, Any]) -> Answer:
        """SetQueueAttributes; an empty value takes an attribute away."""
        queue = self.find(request)
        wanted = request.get("Attributes") or {}
        attributes_of.check(wanted)
        before = queue.attributes
        queue.attributes = before | wanted
        try:
            self._apply(queue)
        except AwsError:
            queue.attributes = before
            raise
        queue.changed_at = int(self._wall_clock())
        return {}

    def list(self, request: Mapping[str, Any]) -> Answer:
        """ListQueues, in pages where `MaxResults` asks for them."""
        prefix = request.get("QueueNamePrefix") or ""
        after = request.get("NextToken") or ""
        most = request.get("MaxResults")
        found = [
            queue.url
            for name, queue in sorted(self._by_name.items())
            if name.startswith(prefix) and name > after
        ]
        page = found[: most or _LIST_MOST]
        answer: Answer = {"QueueUrls": page} if page else {}
        if most and len(found) > most:
            answer["NextToken"] = page[-1].rpartition("/")[2]
        return answer

    def delete(self, request: Mapping[str, Any]) -> Answer:
        """DeleteQueue; polls that wait learn that it is gone."""
        queue = self.find(request)
        del self._by_name[queue.name]
        self._by_url = {url: found for url, found in self._by_url.items() if found is not queue}
        queue.state.is_deleted = True
        while queue.polls:
            queue.polls.popleft().answer(_missing())
        return {}

    def purge(self, request: Mapping[str, Any]) -> Answer:
        """PurgeQueue."""
        self.find(request).state.purge()
        return {}

    def tag(self, request: Mapping[str, Any]) -> Answer:
        """TagQueue."""
        self.find(request).tags.update(request.get("Tags") or {})
        return {}

    def untag(self, request: Mapping[str, Any]) -> Answer:
        """UntagQueue."""
        queue = self.find(request)
        for key in request.get("TagKeys") or []:
            queue.tags.pop(key, None)
        return {}

    def list_tags(self, request: Mapping[str, Any]) -> Answer:
        """ListQueueTags."""
        tags = self.find(request).tags
        return {"Tags": dict(tags)} if tags else {}

    def list_sources(self, request: Mapping[str, Any]) -> Answer:
        """ListDeadLetterSourceQueues."""
        target = self.find(request).state
        return {"queueUrls": [q.url for q in self.all() if q.state.dead_letters is target]}

    def start_move(self, request: Mapping[str, Any]) -> Answer:
        """StartMessageMoveTask: what is visible goes back where it came from, as sent anew."""
        source = self._by_arn(request.get("SourceArn") or "")
        if not any(queue.state.dead_letters is source.state for queue in self.all()):
            raise _no_resource("Source queue must be configured as a Dead Letter Queue.")
        wanted = request.get("DestinationArn")
        target = self._by_arn(wanted) if wanted else None
        now = self._clock()
        source.state.settle(now)
        moved = 0
        for message in source.state.all_visible():
            home = target or self._by_name.get(message.source or "")
            if home is None or home is source:
                continue
            source.state.withdraw(message)
            home.state.send(_anew(message), now)
            moved += 1
        handle = f"move-{source.name}-{len(self._moves.setdefault(source.arn, []))}"
        self._moves[source.arn].insert(
            0,
            {
                "Status": "COMPLETED",
                "SourceArn": source.arn,
                "ApproximateNumberOfMessagesMoved": moved,
                "ApproximateNumberOfMessagesToMove": moved,
                "StartedTimestamp": int(self._wall_clock() * 1_000),
                **({"DestinationArn": wanted} if wanted else {}),
            },
        )
        return {"TaskHandle": handle}

    def list_moves(self, request: Mapping[str, Any]) -> Answer:
        """ListMessageMoveTasks, the latest first."""
        source = self._by_arn(request.get("SourceArn") or "")
        return {"Results": self._moves.get(source.arn, [])[: request.get("MaxResults") or 1]}

    def _by_arn(self, arn: str) -> Hosted:
        queue = self._by_name.get(arn.rpartition(":")[2])
        if queue is None or queue.arn != arn:
            raise _no_resource("The resource that you specified for the SourceArn doesn't exist.")
        return queue

    def _apply(self, queue: Hosted) -> None:
        """Let the queue act by its attributes."""
        values, state = queue.attributes, queue.state
        queue.max_message_bytes = int(values["MaximumMessageSize"])
        queue.delay_seconds = int(values["DelaySeconds"])
        queue.wait_seconds = int(values["ReceiveMessageWaitTimeSeconds"])
        state.visibility_seconds = int(values["VisibilityTimeout"])
        state.retention_seconds = int(values["MessageRetentionPeriod"])
        policy = values.get("RedrivePolicy")
        if not policy:
            state.dead_letters = state.max_receive_count = None
            return
        arn, receives = attributes_of.redrive(policy)
        target = self._by_name.get(arn.rpartition(":")[2])
        if target is None or target is queue or target.arn != arn:
            raise attributes_of.no_such_target(policy)
        state.dead_letters, state.max_receive_count = target.state, receives


def arn_of(name: str) -> str:
    """The resource name of a queue."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def _anew(message: Message) -> Message:
    return Message(
        message.body,
        message.attributes,
        message.group_id,
        message_id=message.message_id,
        body_md5=message.body_md5,
        attributes_md5=message.attributes_md5,
    )


def _missing() -> AwsError:
    return AwsError(
        "QueueDoesNotExist",
        "The specified queue does not exist.",
        code="AWS.SimpleQueueService.NonExistentQueue",
    )


def _no_resource(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message, status=404)


def _invalid_parameter(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message, code="InvalidParameterValue")
