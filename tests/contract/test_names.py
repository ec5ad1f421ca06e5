"""One table of examples for the names of queues and tables: Terraform passes the same one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenantry.names import dead_letter_queue_name, queue_name, table_name

EXAMPLES: list[dict[str, str]] = json.loads(
    Path(__file__).with_name("names.json").read_text("utf-8")
)


@pytest.mark.parametrize("example", EXAMPLES, ids=[each["why"] for each in EXAMPLES])
def test_names_are_those_of_the_examples(example: dict[str, str]) -> None:
    """Queue, dead-letter queue and table, cut or not."""
    environment, instance = example["environment"], example["instance"]

    assert example["queue"] == queue_name(environment, instance)
    assert example["dead_letter_queue"] == dead_letter_queue_name(environment, instance)
    assert example["table"] == table_name(environment, instance)


def test_the_examples_cover_both_sides_of_each_length() -> None:
    """Whole and cut: queues, dead-letter queues and tables."""
    for kind, limit in (("queue", 80), ("dead_letter_queue", 80), ("table", 255)):
        lengths = {len(each[kind]) for each in EXAMPLES}
        assert limit in lengths
        assert 49 in lengths
