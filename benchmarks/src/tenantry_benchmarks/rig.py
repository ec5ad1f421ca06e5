"""Everything that one run measures, on one engine: our services, and the baselines beside them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import aiohttp

from tenantry_benchmarks.collector import Collector, collector_up
from tenantry_benchmarks.gate import WAIT_SECONDS, Gate
from tenantry_benchmarks.load_generator import Job, Result
from tenantry_benchmarks.starting import CHEAPEST, NOT_COVERED, VISIBILITY_SECONDS, Starter
from tenantry_benchmarks.subjects import BASELINES, OURS, Subject
from tenantry_benchmarks.traffic import LoadGenerator, write_requests
from tenantry_local.laptop import Laptop
from tenantry_local.model import (
    CONSUMER,
    DEFAULT_POOL,
    HOST,
    PRODUCER,
    LaptopError,
    TenantSpec,
)
from tenantry_local.processes import Processes, free_port
from tenantry_local.proxy import Proxy, proxy_up
from tenantry_local.resources import queue_depth

#: In one pool, as basic tenants live.
TENANTS: Final = tuple(f"tenant-{number}" for number in range(10))
SAMPLED: Final = 0.01
ACCEPTED: Final = 202

_STOP_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05
_STUCK_SECONDS: Final = 30.0


@dataclass(slots=True)
class Rig:
    """What a run has.

    Attributes:
        missing: Why a subject is not there, by its name.
        proxies: Where every AWS call passes, if calls are counted.
        gate: Where consumers' calls pass, and what sees when messages are stored.
    """

    laptop: Laptop
    generator: LoadGenerator
    collector: Collector
    session: aiohttp.ClientSession
    starter: Starter
    gate: Gate
    proxies: list[Proxy] = field(default_factory=list)
    subjects: dict[str, Subject] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    _requests: dict[tuple[int, tuple[str, ...]], Path] = field(default_factory=dict)

    async def post(
        self,
        subject: Subject,
        messages: int,
        *,
        tokens: int,
        tenants: Sequence[str] = TENANTS,
        generator: LoadGenerator | None = None,
        port: int = 0,
        **job: Any,
    ) -> Result:
        """Send to a subject's producer.

        Args:
            subject: Who gets them.
            messages: How many.
            tokens: Distinct ones, spread over these tenants.
            tenants: Who they are of.
            generator: Another than the rig's.
            port: Of another process of the subject's.
            job: The other fields of a `Job`.

        Raises:
            LaptopError: Not every message was accepted.
        """
        await subject.wait_held()
        path = await self._requests_file(tokens, tuple(tenants))
        to = port or subject.producer_port
        result = await (generator or self.generator).send(Job(HOST, to, path, messages, **job))
        if result.statuses != {ACCEPTED: messages}:
            msg = f"{subject.name} did not accept every message: {result.statuses}"
            raise LaptopError(msg)
        return result

    async def _requests_file(self, tokens: int, tenants: tuple[str, ...]) -> str:
        key = tokens, tenants
        if key not in self._requests:
            self._requests[key] = await asyncio.to_thread(
                write_requests, self.laptop.run_dir, tenants, tokens
            )
        return str(self._requests[key])

    async def drained(self, subject: Subject) -> None:
        """Wait until the queue holds nothing, neither waiting nor in hand.

        Raises:
            LaptopError: It still does, and nothing of it changes; or its consumer ended.
        """
        last: tuple[int, int] | None = None
        deadline = time.monotonic()
        while any(found := await self.depth(subject)):
            subject.pids(CONSUMER)
            if found != last:
                last, deadline = found, time.monotonic() + _STUCK_SECONDS
            elif time.monotonic() > deadline:
                waiting, held = found
                msg = (
                    f"{subject.name}'s consumer does not drain its queue: {waiting:,} messages "
                    f"wait and {held:,} are in hand, for {_STUCK_SECONDS:g} s now"
                )
                raise LaptopError(msg)
            await asyncio.sleep(_LOOK_SECONDS)

    async def drain(self, subject: Subject, messages: int) -> None:
        """Release the consumer until it has stored so many and deleted them, then hold it.

        Raises:
            LaptopError: It did not, or deleted what it never stored.
        """
        await self.gate.take()
        await subject.release()
        await self.drained(subject)
        await subject.hold()
        stored = len(await self.gate.take())
        if stored != messages:
            msg = f"{subject.name} stored {stored} of {messages} messages"
            raise LaptopError(msg)

    async def depth(self, subject: Subject) -> tuple[int, int]:
        """Messages that wait, and that are in hand."""
        return await queue_depth(self.laptop.engine, subject.resources.queue_url)

    async def dead_letters(self, subject: Subject) -> int:
        """Messages that a subject gave up."""
        url = subject.resources.dead_letter_queue_url
        return sum(await queue_depth(self.laptop.engine, url))

    async def metric(self, service: str, name: str) -> float:
        """The sum of a metric of ours over its labels."""
        url = self.laptop.instance(DEFAULT_POOL, service).private_url
        async with self.session.get(f"{url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        samples = [line for line in lines if line.startswith((name + "{", name + " "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in samples)

    def calls(self) -> Counter[str]:
        """AWS calls since the last time, by operation."""
        found: Counter[str] = Counter()
        for proxy in self.proxies:
            found += proxy.calls
            proxy.reset()
        return found


@asynccontextmanager
async def rig_up(
    baselines: Sequence[str] = BASELINES,
    *,
    engine: str = "standin",
    counts_calls: bool = False,
    delay_seconds: float = 0,
    workers: Mapping[str, tuple[str, int]] = CHEAPEST,
    consumer_env: Mapping[str, str] = MappingProxyType({}),
    **options: Any,
) -> AsyncGenerator[Rig, None]:
    """Our services and these baselines, all ready, consumers held.

    A baseline that cannot be started is named in `missing`, with the reason.

    Args:
        baselines: Those that are wanted.
        engine: As the laptop's.
        counts_calls: Whether every call passes a proxy that counts it.
        delay_seconds: Added to each call of a consumer.
        workers: How gunicorn runs each pair.
        consumer_env: Of our consumer, beside what it gets anyway.
        options: A laptop's.
    """
    async with AsyncExitStack() as stack:
        engine_port = port = free_port()
        proxies: list[Proxy] = []
        if counts_calls:
            proxies.append(await stack.enter_async_context(proxy_up(f"http://{HOST}:{port}")))
            options["endpoint_url"] = proxies[0].url
            port = int(proxies[0].url.rpartition(":")[2])
        gate = await stack.enter_async_context(Gate.up(port, delay_seconds=delay_seconds))
        door = await gate.door()
        collector = await stack.enter_async_context(collector_up())
        env = {
            **NOT_COVERED,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(SAMPLED),
        }
        laptop = await stack.enter_async_context(
            Laptop.up(
                [TenantSpec(name, "basic") for name in TENANTS],
                engine=engine,
                engine_port=engine_port,
                wait_seconds=WAIT_SECONDS,
                visibility_seconds=VISIBILITY_SECONDS,
                extra_env=MappingProxyType(
                    {
                        PRODUCER: env,
                        CONSUMER: {**env, "AWS_ENDPOINT_URL": door.url, **consumer_env},
                    }
                ),
                **options,
            )
        )
        generator = await stack.enter_async_context(LoadGenerator.up())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        processes = Processes()
        stack.callback(processes.close)
        starter = Starter(
            laptop,
            session,
            stack,
            processes,
            options.get("endpoint_url") or laptop.engine_url,
            gate,
            workers,
            proxies if counts_calls else None,
        )
        rig = Rig(laptop, generator, collector, session, starter, gate, proxies)
        rig.subjects[OURS] = Subject(
            OURS,
            laptop.pools[DEFAULT_POOL].resources,
            laptop.instance(DEFAULT_POOL, PRODUCER).port,
            lambda service: _pid(laptop, service),
            door,
        )
        for name in baselines:
            try:
                rig.subjects[name] = await starter.start(name)
            except LaptopError as error:
                rig.missing[name] = str(error)
        try:
            for subject in rig.subjects.values():
                await subject.hold()
            yield rig
        finally:
            await processes.stop(processes.running, seconds=_STOP_SECONDS)


def _pid(laptop: Laptop, service: str) -> int:
    pid = laptop.instance(DEFAULT_POOL, service).pid
    if pid is None:
        msg = f"our {service} ended"
        raise LaptopError(msg)
    return pid
