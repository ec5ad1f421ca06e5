"""Writes docs/openapi/producer.json and docs/openapi/consumer.json from the services' routes.

`python scripts/openapi.py` writes them, but not in CI, where committed files are compared;
`--check` writes nothing and names each one that is stale.

Exit status: 0 all are as the code says; 1 with `--check`, when one is not; 2 in CI.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

import consumer.api
import consumer.app
import consumer.settings
import producer.api
import producer.app
import producer.settings
from tenantry.metrics import ProducerMetrics

ROOT: Final = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str]) -> int:
    """Write the documents, or say which are stale."""
    parser = argparse.ArgumentParser(description="Write docs/openapi/*.json.")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    check = parser.parse_args(arguments).check
    if os.environ.get("CI") and not check:
        print("in CI the documents are compared and never written: --check", file=sys.stderr)
        return 2
    texts = documents()
    stale = [name for name, text in texts.items() if read(ROOT / name) != text]
    for name in stale:
        if check:
            print(f"{name} is not what the code says: python scripts/openapi.py", file=sys.stderr)
        else:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(texts[name], encoding="utf-8")
            print(f"wrote {name}")
    return 1 if check and stale else 0


def documents() -> Mapping[str, str]:
    """The text of each document, by its name in the repository."""
    return {
        "docs/openapi/producer.json": render(describe_producer()),
        "docs/openapi/consumer.json": render(describe_consumer()),
    }


def describe_producer() -> dict[str, Any]:
    """The producer's document. Nothing behind its routes is needed for that."""
    settings = producer.settings.Settings.model_construct()
    nothing: Any = None
    return producer.app.create_app(
        producer.api.Api(
            settings, nothing, nothing, nothing, nothing, ProducerMetrics(CollectorRegistry())
        )
    ).openapi()


def describe_consumer() -> dict[str, Any]:
    """The consumer's document, likewise."""
    settings = consumer.settings.Settings.model_construct()
    nothing: Any = None
    return consumer.app.create_app(consumer.api.Api(settings, nothing, nothing, nothing)).openapi()


def render(document: Mapping[str, Any]) -> str:
    """A document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read(path: Path) -> str:
    """A document as it stands; empty where there is none."""
    return path.read_text("utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
