"""`python buggy.py producer|consumer`: a service whose bugs quote what a client sent.

Started instead of `python -m producer` and `python -m consumer`. Whatever is accepted and whatever
is read ends in an error; a message of type `buggy` ends the consumer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import consumer.api
import consumer.app
import consumer.settings
import producer.api
import producer.app
import producer.settings
from consumer.repository import DynamoMessageRepository, Inserted, MessageRepository, Row
from producer.hot import Answer, Incoming
from tenantry.aws import Aws
from tenantry.serving import main
from tenantry.tenant_id import TenantId


def quote(*values: object) -> NoReturn:
    """As `int("…")` does, and validation, and many a library."""
    error = ValueError(f"this is no number: {values}")
    error.add_note(f"nor is this: {values}")
    raise error


async def post_message(api: producer.api.Api, incoming: Incoming) -> Answer:
    quote(incoming.headers, await incoming.body(TenantId("acme"), api.intake))


class BuggyRepository(DynamoMessageRepository):
    """Fails on one type of message."""

    async def insert(self, table_name: str, rows: Sequence[Row], stored_at: str) -> list[Inserted]:
        for row in rows:
            if row.message.type == "buggy":
                quote(row)
        return await super().insert(table_name, rows, stored_at)


class Buggy(consumer.app.Consumer):
    """A consumer whose repository is buggy."""

    async def repository(self, aws: Aws) -> MessageRepository:
        return BuggyRepository(await aws.dynamodb(attempts=1), self.metrics)


async def run(settings: consumer.settings.Settings) -> None:
    await Buggy(settings).run()


if __name__ == "__main__":
    if sys.argv[1] == "producer":
        producer.api.Api.post_message = post_message  # type: ignore[assignment,method-assign]
        main("producer", producer.settings.Settings, producer.app.run)
    else:
        consumer.api._json = quote  # type: ignore[assignment]
        main("consumer", consumer.settings.Settings, run)
