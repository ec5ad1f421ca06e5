# ruff: noqa: INP001 - run as a file
"""Writes the demo's sample of events, the same every time.

    python platform/local/make_sample.py

The shapes are our own, after the habits of code hosts, payment providers, shops and the like.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent / "src" / "tenantry_local" / "data" / "events.jsonl"
EVENTS = 360

NAMES = [
    "Zoë Müller",
    "李小龍",
    "Aarav Śarmā",
    "Ólafur",
    "محمد",
    "Nguyễn Thị",
    'O\'Neill "Bo"',
    "Ω",
]
WORDS = (
    *("fix", "retry", "queue", "ünïcode", "数据", "shard", "drain", "🚀", "café"),
    *("naïve", "tab\there", "new\nline", "back\\slash"),
)
CITIES = ["København", "São Paulo", "東京", "Łódź", "Kraków", "Ürümqi", "'s-Hertogenbosch"]

Payload = dict[str, Any]
Maker = Callable[[random.Random, int], tuple[str, Payload]]


def push(r: random.Random, n: int) -> tuple[str, Payload]:
    """A push to a repository."""
    commits = [
        {
            "id": f"{r.getrandbits(160):040x}",
            "message": " ".join(r.choices(WORDS, k=r.randint(0, 12))),
            "author": {"name": r.choice(NAMES), "email": f"dev{r.randint(1, 99)}@example.com"},
            "added": [f"src/{r.choice(WORDS)}.py" for _ in range(r.randint(0, 4))],
            "removed": [],
            "distinct": r.randint(0, 9) > 0,
        }
        for _ in range(r.randint(1, 6))
    ]
    return "code.push", {
        "ref": r.choice(["refs/heads/main", "refs/heads/føø/bar", "refs/tags/v1.0.0"]),
        "before": "0" * 40,
        "after": commits[-1]["id"],
        "forced": False,
        "base_ref": None,
        "repository": {"id": 10**9 + n, "full_name": f"org-{n % 7}/repo", "private": True},
        "commits": commits,
    }


def issue(r: random.Random, n: int) -> tuple[str, Payload]:
    """A comment on an issue."""
    return "code.issue_comment", {
        "action": r.choice(["created", "edited", "deleted"]),
        "issue": {"number": n, "title": " ".join(r.choices(WORDS, k=5)), "labels": []},
        "comment": {
            "id": r.getrandbits(63),
            "body": "> quoted\r\n\r\n" + " ".join(r.choices(WORDS, k=r.randint(1, 60))),
            "reactions": {"+1": r.randint(0, 9), "-1": 0, "🎉": r.randint(0, 3)},
        },
    }


def charge(r: random.Random, n: int) -> tuple[str, Payload]:
    """A payment."""
    return r.choice(["payment.succeeded", "payment.failed", "payment.refunded"]), {
        "id": f"evt_{r.getrandbits(96):024x}",
        "created": 1_750_000_000 + n,
        "livemode": False,
        "data": {
            "object": {
                "amount": r.choice([0, 1, 99, 1_999, 10**12, 2**53 + 1]),
                "currency": r.choice(["eur", "jpy", "kwd"]),
                "exchange_rate": r.choice([1.0, 0.1, 1e-9, 151.3725, -0.0]),
                "metadata": {"order": f"{n:06d}", "": "an empty key", "note": ""},
                "card": {"last4": "4242", "exp_month": r.randint(1, 12), "country": None},
                "fees": [{"amount": r.randint(-50, 50), "type": "tax"} for _ in range(n % 4)],
            }
        },
        "api_version": "2025-06-30",
        "request": {"id": None, "idempotency_key": f"{r.getrandbits(64):x}"},
    }


def order(r: random.Random, n: int) -> tuple[str, Payload]:
    """An order in a shop."""
    return "shop/orders/create", {
        "id": 2**62 + n,
        "name": f"#{n}",
        "customer": {"name": r.choice(NAMES), "tags": ["vip", ""], "verified": n % 2 == 0},
        "shipping": {
            "city": r.choice(CITIES),
            "lat": r.uniform(-90, 90),
            "lon": r.uniform(-180, 180),
        },
        "line_items": [
            {
                "sku": f"SKU-{r.randint(0, 999):03d}",
                "title": f"{r.choice(WORDS)} ☕️ 👩‍👩‍👧",
                "price": f"{r.randint(0, 9_999) / 100:.2f}",
                "grams": r.randint(0, 5_000),
                "properties": [{"name": "färbe", "value": r.choice(["röt", "blau", None])}],
            }
            for _ in range(r.randint(0, 8))
        ],
        "discounts": {},
        "refunds": [],
    }


def reading(r: random.Random, n: int) -> tuple[str, Payload]:
    """Numbers of a sensor, at the edges of what numbers are."""
    return "device.reading:v2", {
        "device": f"{r.getrandbits(48):012x}",
        "values": [r.gauss(20, 5) for _ in range(r.randint(1, 40))],
        "edges": [0, -1, 1.0, 2**63 - 1, -(2**63), 2**64 - 1, 5e-324, 1.7976931348623157e308],
        "flags": [True, False, None, [], {}, [[[]]], ""],
        "seq": n,
    }


def delivery(r: random.Random, n: int) -> tuple[str, Payload]:
    """An event of a mail provider."""
    return "mail.delivered", {
        "to": f"user+{n}@example.org",
        "subject": r.choice(
            ["", "Re: 😀😃", "\u202eright to left\u202c", "zero\u0000width\u200b", "\ufeffmark"]
        ),
        "headers": [["X-Custom", 'a;b="c"'], ["Received", ""]],
        "clicks": {f"https://example.com/?q={r.choice(WORDS)}&n={k}": k for k in range(n % 5)},
    }


def nested(r: random.Random, n: int) -> tuple[str, Payload]:
    """A value in a value in a value."""
    value: Any = {"leaf": r.choice(WORDS)}
    for level in range(n % 50):
        value = [value] if level % 2 else {f"l{level}": value}
    return "audit.nested", {"tree": value}


def nothing(_: random.Random, n: int) -> tuple[str, Payload]:
    """The smallest payload there is."""
    return f"ping/{n % 3}", {}


def large(kilobytes: int) -> Maker:
    """An export of so many KB."""

    def make(r: random.Random, _: int) -> tuple[str, Payload]:
        rows: list[Payload] = []
        size = 0
        while size < kilobytes * 1_000:
            rows.append(
                {
                    "id": r.getrandbits(60),
                    "name": r.choice(NAMES),
                    "note": " ".join(r.choices(WORDS, k=9)),
                }
            )
            size += len(json.dumps(rows[-1], ensure_ascii=False).encode())
        return "export.page", {"rows": rows, "next": None}

    return make


MAKERS: list[Maker] = [push, issue, charge, order, reading, delivery, nested, nothing]
LARGE = {57: large(96), 183: large(140), 301: large(195)}


def events() -> Iterator[Payload]:
    """Every event; some name their tenant."""
    r = random.Random(20_250_630)  # noqa: S311 - the same every time is the point
    for n in range(EVENTS):
        type_, payload = LARGE.get(n, MAKERS[n % len(MAKERS)])(r, n)
        event: Payload = {"type": type_, "payload": payload}
        if n % 10 == 0:
            event["tenant_id"] = r.choice(["acme", "globex", "initech", "umbrella"])
        yield event


if __name__ == "__main__":
    lines = (json.dumps(event, ensure_ascii=False, separators=(",", ":")) for event in events())
    OUTPUT.write_text("".join(f"{line}\n" for line in lines), "utf-8")
