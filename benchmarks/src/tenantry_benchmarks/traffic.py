"""What is sent: one event of 600 bytes, under many tokens; and the process that sends it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tenantry_benchmarks.children import Child
from tenantry_benchmarks.load_generator import Job, Result, save_requests
from tenantry_local.issuer import TOKEN_SECONDS, Issuer
from tenantry_local.model import LaptopError

PAYLOAD_BYTES: Final = 600

_EVENT: Final[dict[str, Any]] = {
    "order_id": "ord_01HZX3N6Q2W8",
    "customer": {"id": 48_213, "country": "DE", "is_new": False},
    "lines": [
        {"sku": "AX-2209-M", "quantity": 2, "price": 19.9},
        {"sku": "BK-0417-S", "quantity": 1, "price": 149.0},
        {"sku": "CL-7710-L", "quantity": 12, "price": 0.85},
    ],
    "total": {"net": 199.0, "tax": 37.81, "currency": "EUR"},
    "shipping": {"carrier": "parcel", "days": 3, "street": "Große Straße 12", "zip": "10115"},
    "tags": ["web", "autumn"],
}


def payload() -> dict[str, Any]:
    """An order as a shop's event would carry it, of `PAYLOAD_BYTES` as compact JSON."""
    event = {**_EVENT, "note": ""}
    missing = PAYLOAD_BYTES - len(_compact(event))
    words = "please leave it with the neighbours if nobody opens, thank you and good day. "
    event["note"] = (words * 10)[:missing]
    return event


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A POST as it goes on the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: benchmark.local", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def write_requests(run_dir: Path, tenants: Sequence[str], tokens: int) -> Path:
    """Requests with so many distinct tokens, spread over tenants; where they are."""
    issuer = Issuer.load(run_dir)
    body = _compact({"type": "order.placed", "payload": payload()})
    requests: list[bytes] = []
    for number in range(tokens):
        tenant = tenants[number % len(tenants)]
        # Their ends differ by a second each, and so do the tokens.
        token = issuer.token(tenant, seconds=TOKEN_SECONDS + number)
        headers = {"Authorization": f"Bearer {token}", "tenantID": tenant}
        requests.append(request("/messages", headers, body))
    path = run_dir / f"requests-{tokens}-{tenants[0]}"
    save_requests(path, requests)
    return path


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class LoadGenerator:
    """The process that sends."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @classmethod
    @asynccontextmanager
    async def up(cls) -> AsyncGenerator[LoadGenerator, None]:
        """A generator, until the block ends."""
        module = "tenantry_benchmarks.load_generator"
        async with Child.up("the load generator", module) as child:
            yield cls(child)

    async def send(self, job: Job) -> Result:
        """Send, and wait for every answer.

        Raises:
            LaptopError: Not all were answered in time.
        """
        found = json.loads(await self._child.ask(json.dumps(asdict(job)).encode()))
        if "error" in found:
            raise LaptopError(f"the load generator gave up: {found['error']}")
        statuses = {int(status): n for status, n in found.pop("statuses").items()}
        accepted = {name: (due, at) for name, (due, at) in found.pop("accepted").items()}
        return Result(statuses=statuses, accepted=accepted, **found)
