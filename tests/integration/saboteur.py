"""`python saboteur.py drop|double|misfile`: a consumer that harms one kind of message.

Started instead of `python -m consumer`. Everything of type `sabotaged` is harmed, the rest is
stored as ever, and every outcome that it reports is a good one.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from consumer.app import Consumer
from consumer.repository import Inserted, MessageRepository, Row
from consumer.settings import Settings
from tenantry.aws import Aws
from tenantry.serving import main

TYPE: Final = "sabotaged"


def drop(_: Row) -> list[Row]:
    return []


def double(row: Row) -> list[Row]:
    return [row, replace(row, message=replace(row.message, message_id=str(uuid.uuid4())))]


def misfile(row: Row) -> list[Row]:
    return [replace(row, partition="globex" if row.partition == "acme" else "acme")]


HARMS: Final[dict[str, Callable[[Row], list[Row]]]] = {
    "drop": drop,
    "double": double,
    "misfile": misfile,
}


class SabotagedRepository:
    """Stores other rows than it was asked to, and says that all is well."""

    def __init__(self, repository: MessageRepository, harm: Callable[[Row], list[Row]]) -> None:
        self._repository = repository
        self._harm = harm
        self.digests = repository.digests

    async def insert(self, table_name: str, rows: Sequence[Row], stored_at: str) -> list[Inserted]:
        outcomes = []
        for row in rows:
            stored = self._harm(row) if row.message.type == TYPE else [row]
            if stored:
                await self._repository.insert(table_name, stored, stored_at)
            outcomes.append(Inserted.STORED)
        return outcomes


class Saboteur(Consumer):
    """A consumer whose repository is sabotaged."""

    async def repository(self, aws: Aws) -> MessageRepository:
        return SabotagedRepository(await super().repository(aws), HARMS[sys.argv[1]])


async def run(settings: Settings) -> None:
    await Saboteur(settings).run()


if __name__ == "__main__":
    main("consumer", Settings, run)
