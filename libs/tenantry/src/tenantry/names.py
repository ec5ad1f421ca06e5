"""Names of queues and tables: the same in Python and in Terraform, from the same examples."""

from __future__ import annotations

import hashlib

from tenantry.limits import DYNAMODB_TABLE_NAME_CHARACTERS, SQS_QUEUE_NAME_CHARACTERS

#: What is kept of a name that is too long for AWS, before `-` and the digest.
KEPT_CHARACTERS = 40


def queue_name(environment: str, instance: str) -> str:
    """The queue of a pool or a dedicated tenant."""
    return _fit(f"{environment}-{instance}-messages", SQS_QUEUE_NAME_CHARACTERS)


def dead_letter_queue_name(environment: str, instance: str) -> str:
    """The dead-letter queue beside `queue_name`."""
    return _fit(f"{environment}-{instance}-messages-dead-letters", SQS_QUEUE_NAME_CHARACTERS)


def table_name(environment: str, instance: str) -> str:
    """The table of a pool or a dedicated tenant."""
    return _fit(f"{environment}-{instance}-messages", DYNAMODB_TABLE_NAME_CHARACTERS)


def registry_table_name(environment: str) -> str:
    """The table of all placements of an environment."""
    return _fit(f"{environment}-tenants", DYNAMODB_TABLE_NAME_CHARACTERS)


def _fit(name: str, limit: int) -> str:
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[:KEPT_CHARACTERS]}-{digest}"
