"""The router's own page: who lives here, and what waits in their queues."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from tenantry_local.resources import queue_depth

if TYPE_CHECKING:
    from tenantry_local.clients import Engine
    from tenantry_local.model import Instance, Tenant

_NUMBERS: Final = frozenset({"waiting", "held", "dead letters", "pid", "port"})
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: #1c1c1e; background: #fdfdfc }
table { border-collapse: collapse; width: 100%; margin: 0 0 2rem }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #ddd }
th { font-weight: 600 } td.n, th.n { text-align: right } code { font-size: .9em }
@media (prefers-color-scheme: dark) {
  body { color: #eee; background: #1c1c1e } th, td { border-color: #444 } a { color: #8ab4f8 } }
"""


async def render_page(
    engine: Engine,
    tenants: Iterable[Tenant],
    instances: Iterable[Instance],
    *,
    router_port: int,
    engine_name: str,
) -> str:
    """The page, as it stands now. It loads nothing from anywhere."""
    tenants = list(tenants)
    urls = {url for t in tenants for url in (t.queue_url, t.dead_letter_queue_url)}
    depths = dict(
        zip(urls, await asyncio.gather(*(queue_depth(engine, url) for url in urls)), strict=True)
    )
    rows = [
        _row(
            _link(f"http://{t.tenant_id}.localhost:{router_port}/consumer", t.tenant_id),
            t.tier,
            t.pool or "own",
            f"<code>{html.escape(t.queue_url.rsplit('/', 1)[-1])}</code>",
            *depths[t.queue_url],
            depths[t.dead_letter_queue_url][0],
            f"<code>{html.escape(t.table_name)}</code>",
        )
        for t in tenants
    ]
    processes = [
        _row(
            html.escape(i.instance),
            i.service,
            i.pid or "ended",
            i.port,
            _link(f"{i.private_url}/readyz?verbose", "ready"),
            _link(f"{i.private_url}/metrics", "metrics"),
            f"<code>{html.escape(str(i.log))}</code>",
        )
        for i in instances
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta http-equiv=refresh content=5><title>Tenantry on this machine</title>"
        f"<style>{_STYLE}</style><h1>Tenantry on this machine</h1><h2>Tenants</h2>"
        + _table(
            ("tenant", "tier", "pool", "queue", "waiting", "held", "dead letters", "table"), rows
        )
        + "<h2>Processes</h2>"
        + _table(("instance", "service", "pid", "port", "", "", "log"), processes)
        + f"<p>Engine: {html.escape(engine_name)} at {_link(engine.url, engine.url)}. The numbers "
        "are a moment old and approximate, as SQS gives them.</p></html>"
    )


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th{_class(name)}>{name}" for name in heads)
    return f"<table><tr>{head}{''.join(rows)}</table>"


def _class(head: str) -> str:
    return " class=n" if head in _NUMBERS else ""


def _row(*cells: object) -> str:
    return "<tr>" + "".join(
        f"<td class=n>{cell}" if isinstance(cell, int) else f"<td>{cell}" for cell in cells
    )


def _link(url: str, text: str) -> str:
    return f'<a href="{html.escape(url)}">{html.escape(text)}</a>'
