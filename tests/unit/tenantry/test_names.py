"""Names of queues and tables: deterministic, within AWS's lengths, and apart."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenantry.names import dead_letter_queue_name, queue_name, registry_table_name, table_name

NAMES = st.text("ab0-", min_size=1, max_size=90).map(lambda text: f"n{text}n")


@settings(max_examples=50, deadline=None)
@given(NAMES, NAMES)
@example("dev", "a" * 300)
def test_names_are_ones_that_aws_takes(environment: str, instance: str) -> None:
    """SQS: 1 to 80 of letters, digits, `-`, `_`; DynamoDB: 3 to 255 of these and dots."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", queue_name(environment, instance))
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", dead_letter_queue_name(environment, instance))
    assert re.fullmatch(r"[A-Za-z0-9_.-]{3,255}", table_name(environment, instance))
    assert re.fullmatch(r"[A-Za-z0-9_.-]{3,255}", registry_table_name(environment))


@settings(max_examples=50, deadline=None)
@given(NAMES, NAMES, NAMES)
def test_names_of_two_instances_differ(environment: str, one: str, other: str) -> None:
    """Cut or not, no two instances of an environment share a queue; nor queue and dead letters."""
    queues = {queue_name(environment, one), queue_name(environment, other)}
    dead = {dead_letter_queue_name(environment, one), dead_letter_queue_name(environment, other)}

    assert len({one, other}) == len(queues) == len(dead)
    assert not queues & dead


def test_what_the_rules_allow_is_never_cut() -> None:
    """The longest environment and tenant fit: names that people see are whole."""
    environment, instance = "e" * 20, "t" * 32

    assert queue_name(environment, instance) == f"{environment}-{instance}-messages"
    assert dead_letter_queue_name(environment, instance).endswith("-messages-dead-letters")
    assert table_name(environment, instance) == f"{environment}-{instance}-messages"
    assert registry_table_name(environment) == f"{environment}-tenants"


def test_a_name_that_is_too_long_keeps_40_characters_and_a_digest() -> None:
    """The beginning stays readable, and the digest is of the whole name."""
    name = queue_name("dev", "a" * 80)

    assert name == "dev-" + "a" * 36 + "-" + name[-8:]
    assert re.fullmatch("[0-9a-f]{8}", name[-8:])
    assert name != queue_name("dev", "a" * 81)
