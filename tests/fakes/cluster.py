"""A cluster that applies a fleet as the laptop's stand-in for Flux does, when time passes.

`tenantry_local.fleet_standin` says what each file keeps up; queues and tables are made on the
account, and what is left behind goes only where the seal is off it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tenantctl.model import Instance
from tenantctl.ports import Applied, Outputs
from tenantry import names

#: How often a message may be received that nobody can store.
RECEIVES = 1_000
VISIBILITY_SECONDS = 20


class FakeCluster:
    """Takes a change up at one tick, and has made it at a later one.

    Attributes:
        applied_now: What each instance works with.
        outputs: Queues and table of each instance that has its own.
        frozen: Instances that Flux was told to leave alone.
        broken: Instances that never come up, and why.
        stray: What it has of instances without a release.
        slow: How likely it is that a tick ends what was begun.
        busy: How likely it is that it has a tick between two questions.
    """

    def __init__(
        self,
        environment: str,
        wanted: Callable[[], Awaitable[Mapping[str, Instance]]],
        sqs: Any,
        dynamodb: Any,
        rng: random.Random,
    ) -> None:
        self._environment = environment
        self._wanted = wanted
        self._sqs = sqs
        self._dynamodb = dynamodb
        self._rng = rng
        self.applied_now: dict[str, Instance] = {}
        self.outputs: dict[str, Outputs] = {}
        self.frozen: set[str] = set()
        self.broken: dict[str, str] = {}
        self.stray: dict[str, tuple[str, ...]] = {}
        self.slow = 0.7
        self.busy = 0.2
        self._making: dict[str, Instance | None] = {}
        self._failed: dict[str, str] = {}
        #: Of who asks for tenantctl: may end its life.
        self.felt: Callable[[], None] = lambda: None

    # What tenantctl asks

    async def applied(self, instance_id: str) -> Applied:
        """As the port."""
        self.felt()
        if self._rng.random() < self.busy:
            await self.tick()  # it works while it is asked, too
        return self._state(instance_id)

    async def instances(self) -> dict[str, Applied]:
        """As the port."""
        self.felt()
        return {name: self._state(name) for name in {*self.applied_now, *self._making}}

    async def strays(self) -> dict[str, tuple[str, ...]]:
        """As the port."""
        return dict(self.stray)

    async def remains(self, instance_id: str) -> tuple[str, ...]:
        """As the port."""
        return (f"release {instance_id}",) if (await self.applied(instance_id)).exists else ()

    async def sweep(self, instance_id: str) -> None:
        """Nothing is left behind here."""

    async def nudge(self) -> None:
        """As the port."""
        self.felt()

    def _state(self, name: str) -> Applied:
        is_frozen = name in self.frozen
        if name in self._making:
            # As the laptop: while it works on something, it says nothing of queue and table.
            return Applied(
                exists=True,
                instance=self._making[name] or self.applied_now.get(name),
                is_suspended=is_frozen,
                has_failed=name in self._failed,
                detail=self._failed.get(name, "services to start"),
            )
        if name not in self.applied_now:
            return Applied()
        return Applied(
            exists=True,
            instance=self.applied_now[name],
            is_ready=not is_frozen,
            is_suspended=is_frozen,
            outputs=self.outputs.get(name),
        )

    # What it does

    async def tick(self) -> None:
        """Go on with what was begun, and begin what is wanted now."""
        wanted = await self._wanted()
        seen = sorted({*wanted, *self.applied_now, *self._making})
        self._rng.shuffle(seen)
        for name in seen:
            if name in self.frozen:
                continue
            if name in self._making and self._making[name] == wanted.get(name):
                if name in self.broken:
                    self._failed[name] = self.broken[name]
                elif self._rng.random() < self.slow:
                    await self._make(name)
            elif wanted.get(name) != self.applied_now.get(name):
                self._making[name] = wanted.get(name)
                self._failed.pop(name, None)
            else:
                self._making.pop(name, None)

    async def _make(self, name: str) -> None:
        target = self._making[name]
        try:
            if target is None:
                await self._remove(name)
            elif target.kind == "pool":
                await self._keep(name)
                self.applied_now[name] = target
            else:
                await self._make_tenant(target)
                self.applied_now[name] = target
        except RuntimeError as error:
            self._failed[name] = str(error)
            return
        del self._making[name]
        self._failed.pop(name, None)

    async def _make_tenant(self, target: Instance) -> None:
        name = target.id
        if any(home.is_dedicated for home in target.homes):
            await self._keep(name)
            await self._protect(name, on=target.phase != "offboarding")
        elif name in self.outputs:
            if await self._is_protected(name):
                raise RuntimeError(f"the table of {name} is protected: nobody said it is empty")
            await self._drop(name)
        if target.lives_in.owner(name) not in self.outputs:
            raise RuntimeError(f"{target.lives_in.owner(name)} is not there yet")

    async def _remove(self, name: str) -> None:
        if (last := self.applied_now.get(name)) is not None and last.phase != "offboarding":
            raise RuntimeError(f"the file of {name} went, and it was not offboarding")
        if name in self.outputs:
            await self._protect(name, on=False)
            await self._drop(name)
        self.applied_now.pop(name, None)

    async def _keep(self, name: str) -> None:
        if name in self.outputs:
            return
        dead = await self._sqs.create_queue(
            QueueName=names.dead_letter_queue_name(self._environment, name)
        )
        arn = await self._sqs.get_queue_attributes(
            QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"]
        )
        policy = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": RECEIVES,
        }
        queue = await self._sqs.create_queue(
            QueueName=names.queue_name(self._environment, name),
            Attributes={
                "RedrivePolicy": json.dumps(policy),
                "VisibilityTimeout": str(VISIBILITY_SECONDS),
            },
        )
        table = names.table_name(self._environment, name)
        await make_table(self._dynamodb, table, "tenant_id", "message_id")
        self.outputs[name] = Outputs(queue["QueueUrl"], dead["QueueUrl"], table)

    async def _drop(self, name: str) -> None:
        gone = self.outputs.pop(name)
        for url in (gone.queue_url, gone.dead_letter_queue_url):
            await self._sqs.delete_queue(QueueUrl=url)
        await self._dynamodb.delete_table(TableName=gone.table_name)

    async def _protect(self, name: str, *, on: bool) -> None:
        await self._dynamodb.update_table(
            TableName=self.outputs[name].table_name, DeletionProtectionEnabled=on
        )

    async def _is_protected(self, name: str) -> bool:
        answer = await self._dynamodb.describe_table(TableName=self.outputs[name].table_name)
        return bool(answer["Table"]["DeletionProtectionEnabled"])


async def make_table(client: Any, name: str, *keys: str) -> None:
    """Make a table with these keys, which are strings."""
    kinds = zip(keys, ("HASH", "RANGE"), strict=False)
    await client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in kinds],
        BillingMode="PAY_PER_REQUEST",
    )
