"""What the queues and the consumers say of themselves while the load runs.

What cannot be asked is not guessed: the report then says that it was not observed.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol, Self, TypeVar

import psutil

from tenantry_loadtests.aws import sqs_client
from tenantry_loadtests.plan import Aws
from tenantry_loadtests.tenants import TenantEntry

_Number = TypeVar("_Number", int, float)

_SECONDS: Final = 2.0
_ATTRIBUTES: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_SAMPLE: Final = re.compile(r"^(\w+)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)
_OLDEST: Final = "tenantry_oldest_message_seconds"
_STORED: Final = "tenantry_messages_stored_total"


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at queues and consumers. None: not observed.

    Attributes:
        at: Unix time.
        depth: Messages in the queues, waiting and in hand.
        dead: Messages in the dead-letter queues.
        age: Of the oldest message, in seconds; 0 when the queues are empty.
        stored: Messages that the consumers stored since they started.
        memory: Resident bytes of the services' processes, where those are on this machine.
        queues: Depth by queue.
        calls: AWS calls that this look took.
    """

    at: float
    depth: int | None = None
    dead: int | None = None
    age: float | None = None
    stored: float | None = None
    memory: float | None = None
    queues: Mapping[str, int] = field(default_factory=dict)
    calls: int = 0

    def to_wire(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """What `to_wire` made."""
        return cls(**wire)


Depth = Callable[[str], int]
Fetch = Callable[[str], str]


class Observer:
    """Looks at what it was given; a part that fails is not observed that time."""

    def __init__(
        self,
        *,
        queues: Iterable[str],
        dead_letter_queues: Iterable[str],
        metrics_urls: Iterable[str],
        depth: Depth | None,
        fetch: Fetch,
        memory: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._queues = sorted(set(queues)) if depth is not None else []
        self._dead = sorted(set(dead_letter_queues)) if depth is not None else []
        self.metrics_urls = list(metrics_urls)
        self._depth = depth
        self._fetch = fetch
        self._memory = memory
        #: Why the last look that failed did so; for the report.
        self.failures: dict[str, str] = {}

    def look(self) -> Observation:
        """Ask all."""
        depths = {queue: self._ask_queue(queue) for queue in self._queues}
        dead = [self._ask_queue(queue) for queue in self._dead]
        known = {queue: depth for queue, depth in depths.items() if depth is not None}
        depth = sum(known.values()) if known and len(known) == len(depths) else None
        samples = [self._ask_consumer(url) for url in self.metrics_urls]
        age = _most(sample.get(_OLDEST) for sample in samples)
        return Observation(
            at=time.time(),
            depth=depth,
            dead=_all(dead),
            # A consumer's age is that of the last receive that brought any: it stays when idle.
            age=0.0 if age is not None and depth == 0 else age,
            stored=_all([sample.get(_STORED, 0.0 if sample else None) for sample in samples]),
            memory=self._memory(),
            queues={queue.rsplit("/", 1)[-1]: depth for queue, depth in known.items()},
            calls=len(depths) + len(dead),
        )

    def _ask_queue(self, queue: str) -> int | None:
        assert self._depth is not None  # noqa: S101 - or there are no queues to ask
        try:
            return self._depth(queue)
        except Exception as error:  # noqa: BLE001 - whatever it is, the load goes on
            self.failures[queue.rsplit("/", 1)[-1]] = type(error).__name__
            return None

    def _ask_consumer(self, url: str) -> dict[str, float]:
        try:
            return parse_metrics(self._fetch(url))
        except Exception as error:  # noqa: BLE001 - whatever it is, the load goes on
            self.failures[url] = type(error).__name__
            return {}


class Observable(Protocol):
    """What names queues and consumers: a plan, or the facts of a target."""

    @property
    def tenants(self) -> tuple[TenantEntry, ...]:
        """With their queues."""
        ...

    @property
    def metrics_urls(self) -> tuple[str, ...]:
        """Of consumers."""
        ...

    @property
    def aws(self) -> Aws | None:
        """How queues are asked; None: they are not."""
        ...

    @property
    def pids(self) -> tuple[int, ...]:
        """Of services on this machine."""
        ...


def observer_of(whom: Observable) -> Observer:
    """An observer of what a plan or a target names."""
    dead = [entry.dead_letter_queue_url for entry in whom.tenants]
    return Observer(
        queues=[entry.queue_url for entry in whom.tenants if entry.queue_url],
        dead_letter_queues=[queue for queue in dead if queue],
        metrics_urls=whom.metrics_urls,
        depth=sqs_depth(whom.aws) if whom.aws else None,
        fetch=fetch,
        memory=lambda: memory_of(whom.pids),
    )


def sqs_depth(aws: Aws) -> Depth:
    """Asks SQS for a queue's depth."""
    client = sqs_client(aws)

    def depth(queue: str) -> int:
        answer = client.get_queue_attributes(QueueUrl=queue, AttributeNames=list(_ATTRIBUTES))
        return sum(int(answer["Attributes"].get(name, 0)) for name in _ATTRIBUTES)

    return depth


def fetch(url: str) -> str:
    """The text at a URL, without a proxy of the environment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=_SECONDS) as answer:
        text: str = answer.read().decode("utf-8", "replace")
    return text


def memory_of(pids: Iterable[int]) -> int | None:
    """Resident bytes of processes; None if one is gone, or none was named."""
    try:
        return _all([psutil.Process(pid).memory_info().rss for pid in pids])
    except psutil.Error:
        return None


def parse_metrics(text: str) -> dict[str, float]:
    """The metrics of an exposition, each summed over its labels; the oldest age is the most."""
    values: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        if name in {_OLDEST, _STORED}:
            values[name] = values.get(name, 0.0) + float(value)
    return values


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _all(values: list[_Number | None]) -> _Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
