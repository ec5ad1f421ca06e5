"""CPU microseconds a message, of whole processes, beside the pairs and the floor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tenantry_benchmarks.calibration import calibrate
from tenantry_benchmarks.rig import Rig, rig_up
from tenantry_benchmarks.run import Run
from tenantry_benchmarks.subjects import FLOOR, GOOD, OURS, PLAIN, Subject
from tenantry_benchmarks.table import Table, Verdict
from tenantry_local.model import CONSUMER, PRODUCER

KEY: Final = "cpu"
TITLE: Final = "CPU a message, whole processes"
UNIT: Final = "µs"

#: What the bounds are of.
BOUND_IN_FLIGHT: Final = 64
BOUND_TOKENS: Final = 1_000
#: CPU µs on the reference machine, and how many times the plain pair's.
BOUNDS: Final = {PRODUCER: (400.0, 8.0), CONSUMER: (350.0, 7.0)}
HARDER: Final = {PRODUCER: 150.0, CONSUMER: 80.0}
#: CPU µs of the calibration loop on the reference machine; its bounds grow with the loop's.
REFERENCE_CALIBRATION: Final = 730.0

#: Messages of one round at 64 in flight: at least a fifth of a second of CPU. With fewer in
#: flight a round takes a sixth of them, for its time.
MESSAGES: Final = {OURS: 3_000, GOOD: 1_000, PLAIN: 300, FLOOR: 4_000}
_FEWER: Final = 6
#: Where the consumer is measured beside the producer, and not draining a backlog.
_LIVE: Final = (1, 8)


@dataclass(frozen=True, slots=True)
class Case:
    """So many in flight, with each of these numbers of distinct tokens."""

    in_flight: int
    tokens: tuple[int, ...]

    def what(self, service: str, tokens: int | None = None) -> str:
        """The name of a figure."""
        if service == CONSUMER and self.in_flight not in _LIVE:
            return f"{service}, draining"
        name = f"{service}, {self.in_flight} in flight"
        if tokens is None:
            return name
        return f"{name}, {tokens:,} token{'s' if tokens > 1 else ''}"


QUICK: Final = (Case(BOUND_IN_FLIGHT, (BOUND_TOKENS,)),)
ALL: Final = (
    Case(BOUND_IN_FLIGHT, (BOUND_TOKENS, 1, 10_000)),
    Case(8, (1, 10_000)),
    Case(1, (1, 10_000)),
)


async def measure(run: Run) -> None:
    """The row, as far as it gets."""
    table = run.table(KEY, TITLE, _how(run))
    async with rig_up(run.baselines, engine=run.engine) as rig:
        table.missing.update(rig.missing)
        row = CpuRow(run, rig, table)
        for case in QUICK if run.is_quick else ALL:
            await row.rounds(case)
        await row.check_counters()
        collector = rig.collector
    # The services have ended, and with them their last spans have left.
    for service in (PRODUCER, CONSUMER):
        spans = collector.spans[service]
        table.require(f"traced: at least one span of the {service} arrived ({spans})", spans > 0)
    judge(table)


class CpuRow:
    """Measures subjects in turn, round after round."""

    def __init__(self, run: Run, rig: Rig, table: Table) -> None:
        self._run = run
        self._rig = rig
        self._table = table
        self._first: dict[int, int] = {}
        self._warmed: set[object] = set()
        #: What ours was sent since it started.
        self.sent_to_ours = 0

    async def rounds(self, case: Case) -> None:
        """Every subject once in each round; every second round the other way around."""
        measure = self._live if case.in_flight in _LIVE else self._backlog
        await self._run.in_turn(
            f"{KEY}: {case.in_flight} in flight",
            self._table,
            self._rig.subjects,
            lambda _, subject: measure(subject, case),
        )

    async def _backlog(self, subject: Subject, case: Case) -> None:
        """The producer while its consumer is held; then the consumer, draining what was sent."""
        await self._produce(subject, case)
        messages = sum(await self._rig.depth(subject))
        async with self._measured(subject, case, CONSUMER, messages):
            await self._rig.drain(subject, messages)

    async def _live(self, subject: Subject, case: Case) -> None:
        """Both at once: the consumer takes what comes at the pace at which it comes."""
        await subject.release()
        first, *others = case.tokens if subject.name == OURS else case.tokens[:1]
        await self._warm(subject, first, case)
        await self._rig.drained(subject)
        async with self._measured(subject, case, CONSUMER, self._messages(subject, case)):
            await self._send(subject, case, first)
            await self._rig.drained(subject)
        for tokens in others:
            await self._warm(subject, tokens, case)
            await self._send(subject, case, tokens)
        await self._rig.drained(subject)
        await subject.hold()

    async def _produce(self, subject: Subject, case: Case) -> None:
        # A baseline reads no token: one measurement of its stands beside each of ours.
        for tokens in case.tokens if subject.name == OURS else case.tokens[:1]:
            await self._warm(subject, tokens, case)
            await self._send(subject, case, tokens)

    async def _warm(self, subject: Subject, tokens: int, case: Case) -> None:
        """Verify every token that the next round uses: ours believes one for 60 s."""
        if subject.name != OURS:
            if subject.name not in self._warmed:
                self._warmed.add(subject.name)
                await self._post(subject, 50, tokens=tokens)
            return
        if (subject.name, tokens) not in self._warmed:
            # All of them once, so that they are all in the cache.
            self._warmed.add((subject.name, tokens))
            await self._post(subject, tokens, tokens=tokens)
        await self._post(
            subject,
            min(tokens, self._messages(subject, case)),
            tokens=tokens,
            first=self._first.get(tokens, 0),
        )

    async def _send(self, subject: Subject, case: Case, tokens: int) -> None:
        messages = self._messages(subject, case)
        first = self._first.get(tokens, 0)
        named = (tokens,) if subject.name == OURS else case.tokens
        async with self._measured(subject, case, PRODUCER, messages, named):
            await self._post(
                subject, messages, tokens=tokens, first=first, in_flight=case.in_flight
            )
        if subject.name == OURS:
            self._first[tokens] = first + messages

    @asynccontextmanager
    async def _measured(
        self,
        subject: Subject,
        case: Case,
        service: str,
        messages: int,
        tokens: Sequence[int | None] = (None,),
    ) -> AsyncGenerator[None, None]:
        calibration = await asyncio.to_thread(calibrate)
        before = subject.cpu_seconds(service)
        yield
        spent = subject.cpu_seconds(service) - before
        for number in tokens:
            figure = self._table.figure(subject.name, case.what(service, number), UNIT)
            figure.add(spent / messages * 1e6, calibration)

    async def _post(
        self, subject: Subject, messages: int, *, tokens: int, first: int = 0, in_flight: int = 64
    ) -> None:
        await self._rig.post(subject, messages, tokens=tokens, first=first, in_flight=in_flight)
        if subject.name == OURS:
            self.sent_to_ours += messages

    def _messages(self, subject: Subject, case: Case) -> int:
        fewer = _FEWER if case.in_flight in _LIVE else 1
        messages = round(MESSAGES[subject.name] * self._run.scale / fewer)
        return max(case.in_flight, messages)

    async def check_counters(self) -> None:
        """Ours counted every message, limited none, and nobody gave one up."""
        rig, table = self._rig, self._table
        for service, name in (
            (PRODUCER, "tenantry_messages_accepted_total"),
            (CONSUMER, "tenantry_messages_stored_total"),
        ):
            counted = await rig.metric(service, name)
            text = f"counted: {name} is {counted:,.0f} of {self.sent_to_ours:,} messages"
            table.require(text, counted == self.sent_to_ours)
        refused = await rig.metric(PRODUCER, "tenantry_messages_refused_total")
        table.require(
            f"limited at a rate that is not reached: {refused:.0f} refused", refused == 0
        )
        for subject in rig.subjects.values():
            letters = await rig.dead_letters(subject)
            if letters:
                table.require(f"{subject.name}: {letters} dead letters", holds=False)


def judge(table: Table) -> None:
    """The bounds, as far as there is something to hold against them."""
    case = Case(BOUND_IN_FLIGHT, (BOUND_TOKENS,))
    for service, (most, least) in BOUNDS.items():
        what = case.what(service, BOUND_TOKENS if service == PRODUCER else None)
        own = table.find(OURS, what)
        if own is None or own.median is None or own.calibrated is None:
            continue
        measured = own.calibrated * REFERENCE_CALIBRATION
        for bound, is_hard in ((most, True), (HARDER[service], False)):
            text = f"{service} ≤ {bound:.0f} µs on the reference machine: {measured:.0f} µs"
            table.verdicts.append(Verdict(text, measured <= bound, is_hard=is_hard))
        found = table.ratio(what, PLAIN, OURS)
        reason = "" if found else ": the plain pair was not measured"
        text = f"{service} ≥ {least:.0f} × below the plain pair{reason}"
        if found:
            text += f": {found:.1f} ×"
        table.verdicts.append(Verdict(text, None if found is None else found >= least))


def _how(run: Run) -> str:
    return (
        "CPU of whole processes (user and system time of all threads and workers), 600-byte "
        "payloads, ten tenants of one pool, RS256 tokens that were used once before, traces "
        "sampled at 1 % and exported, limiter and metrics on. At 64 in flight the producer runs "
        "alone, then the consumer drains what was sent; at 8 and 1 both run at once. Baselines "
        f"read no token: theirs is one figure for all. Engine: {run.engine_name}."
    )
