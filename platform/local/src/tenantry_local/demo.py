"""The demo: real messages through all tiers, and a proof from the tables themselves."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tenantry.contract import idempotent_message_id
from tenantry_local import poison
from tenantry_local.events import Event, read_events
from tenantry_local.faults import Fault
from tenantry_local.laptop import Laptop
from tenantry_local.model import DEFAULT_TENANTS, HOST, LaptopError
from tenantry_local.processes import free_port
from tenantry_local.proof import Expected, Proof, TableUnreadableError, prove, wait_until_stored
from tenantry_local.proxy import Proxy, proxy_up
from tenantry_local.report import Report
from tenantry_local.resources import queue_depth
from tenantry_local.sending import Accepted, Outcome, send

_HELLO_KEY: Final = "hello"

#: What goes wrong with FAULTS=1: often enough that each kind is felt in a few hundred messages.
_BATCHES: Final = frozenset(
    {
        "SendMessageBatch",
        "DeleteMessageBatch",
        "ChangeMessageVisibilityBatch",
        "BatchExecuteStatement",
    }
)
FAULTS: Final = (
    Fault("delay", probability=0.2, seconds=0.05),
    Fault("error", probability=0.05),
    Fault("throttle", probability=0.05),
    Fault("partial", probability=0.1),
    Fault("reset", probability=0.03),
    Fault("lost-answer", _BATCHES, probability=0.05),
    Fault("hang", _BATCHES, probability=0.01),
)
_FAULTS_SEED: Final = 1
#: What a call that was cut off had received comes back after this, in seconds.
_FAULTS_VISIBILITY: Final = 6


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is sent, and what happens then.

    Attributes:
        messages: JSON lines; None is the bundled sample.
        once: Leave at the end, instead of waiting for Ctrl-C.
        poison: Bad messages too.
        faults: Calls between the services and the engine go wrong, one in a few.
        laptop: Options of the laptop.
    """

    messages: Path | None = None
    once: bool = False
    poison: bool = False
    faults: bool = False
    laptop: Mapping[str, Any] = field(default_factory=dict)


async def run_demo(options: DemoOptions) -> int:
    """Run it.

    Returns:
        0 when the proof held.

    Raises:
        LaptopError: Bad input or a laptop that cannot start; or the proof did not hold.
    """
    events = read_events(options.messages, [spec.tenant_id for spec in DEFAULT_TENANTS])
    report = Report()
    report.say("Starting the engine, one pool, four tenants and their services …")
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        settings = dict(options.laptop)
        proxy = None
        if options.faults:
            settings["engine_port"] = settings.get("engine_port") or free_port()
            proxy = await stack.enter_async_context(
                proxy_up(f"http://{HOST}:{settings['engine_port']}", seed=_FAULTS_SEED)
            )
            settings |= {"endpoint_url": proxy.url, "visibility_seconds": _FAULTS_VISIBILITY}
        laptop = await stack.enter_async_context(Laptop.up(**settings))
        report.say(f"Up after {time.monotonic() - started:.1f} s. Router: {laptop.router_url}")
        if settings.get("engine") == "standin":
            report.say(f"In the place of AWS: {laptop.engine_name}.")
        if proxy is not None:
            proxy.faults.set(*FAULTS)
            report.say("From now on calls to SQS, DynamoDB and the registry go wrong.")
        await _send_and_prove(laptop, events, report, with_poison=options.poison)
        if proxy is not None:
            proxy.faults.set()
            report.say(_felt(proxy))
        if not options.once:
            await _invite(laptop, events, report)
    return 0


def _felt(proxy: Proxy) -> str:
    """What went wrong, by kind."""
    if not proxy.faults.felt:
        msg = "No fault was felt, so nothing is proven of any."
        raise LaptopError(msg)
    kinds: Counter[str] = Counter()
    for name, times in proxy.faults.felt.items():
        kinds[name.partition(" ")[0]] += times
    told = ", ".join(f"{times} × {kind}" for kind, times in sorted(kinds.items()))
    return f"Of {proxy.calls.total()} AWS calls these went wrong: {told}."


async def _send_and_prove(
    laptop: Laptop, events: Sequence[Event], report: Report, *, with_poison: bool
) -> None:
    planted = None
    if with_poison:
        planted = await poison.plant(laptop.engine, laptop.tenants[DEFAULT_TENANTS[0].tenant_id])
        report.say(f"Put {len(planted.bodies)} bad messages on the queue of acme.")
    with report.progress("Sending", len(events)) as on_sent:
        outcome = await send(events, laptop, on_sent)
    rate = len(events) / outcome.seconds
    report.say(f"Sent {len(events)} in {outcome.seconds:.1f} s, {rate:.0f} a second.")
    report.refused(outcome.refused)
    report.failed(outcome.failed)
    proof = await _prove(laptop, outcome.accepted, report)
    if planted is not None:
        await poison.show_and_redrive(laptop.engine, planted, report)
    dead_letters = {
        tenant.dead_letter_queue_url: sum(
            await queue_depth(laptop.engine, tenant.dead_letter_queue_url)
        )
        for tenant in laptop.tenants.values()
    }
    report.table(tuple(laptop.tenants.values()), outcome, proof, dead_letters)
    report.findings(proof.findings)
    for instance in laptop.instances:
        if instance.pid is None:
            report.say(f"The {instance.service} of {instance.instance} ended by itself.")
    _conclude(outcome, proof, report)


async def _prove(laptop: Laptop, accepted: Sequence[Accepted], report: Report) -> Proof:
    client = laptop.engine.dynamodb
    tables = sorted({tenant.table_name for tenant in laptop.tenants.values()})
    queues = sorted({tenant.queue_url for tenant in laptop.tenants.values()})
    expected = [
        Expected(
            message_id=a.message_id,
            tenant_id=a.event.tenant_id,
            table_name=laptop.tenants[a.event.tenant_id].table_name,
            line=a.event.line,
            type=a.event.type,
            text=a.event.text,
        )
        for a in accepted
    ]

    async def in_queues() -> int:
        return sum([sum(await queue_depth(laptop.engine, queue)) for queue in queues])

    try:
        with report.progress("Stored", len(expected)) as on_stored:
            await wait_until_stored(client, expected, tables, in_queues, on_stored)
        return await prove(client, expected, tables)
    except TableUnreadableError as error:
        msg = f"The proof does not hold: {error}"
        raise LaptopError(msg) from error


def _conclude(outcome: Outcome, proof: Proof, report: Report) -> None:
    if outcome.failed or proof.findings:
        msg = (
            f"The proof does not hold: {len(outcome.failed)} not accepted, "
            f"{len(proof.findings)} findings in the tables."
        )
        raise LaptopError(msg)
    if not outcome.accepted:
        msg = "Nothing was accepted, so nothing is proven."
        raise LaptopError(msg)
    report.say(
        f"Proven: each of {len(outcome.accepted)} accepted messages is stored once, unchanged, "
        "under its tenant, in its table; and nothing else is."
    )


async def _invite(laptop: Laptop, events: Sequence[Event], report: Report) -> None:
    tenant = laptop.tenants[events[0].tenant_id]
    message = '{"type":"demo.hello","payload":{"hello":"world"}}'
    report.say("\nYours to play with; as pasted:")
    for line in curl_commands(laptop.router_url, tenant.tenant_id, tenant.token_file, message):
        report.say(f"  {line}")
    report.say(f"\n{laptop.router_url}/ shows tenants and queues. Ctrl-C ends it.")
    await asyncio.Event().wait()


def curl_commands(
    router_url: str, tenant_id: str, token_file: Path, message: str
) -> tuple[str, str, str]:
    """Three commands: send a message, read it, ask who serves.

    The key makes the id of the message known before it is sent.
    """
    message_id = idempotent_message_id(tenant_id, _HELLO_KEY)
    common = f"curl -sS -H @{shlex.quote(str(token_file))} -H 'tenantID: {tenant_id}'"
    post = f"-H 'Content-Type: application/json' -H 'Idempotency-Key: {_HELLO_KEY}'"
    return (
        f"{common} {post} -d {shlex.quote(message)} {router_url}/messages",
        f"{common} {router_url}/messages/{message_id}",
        f"{common} {router_url}/producer",
    )
