"""Leading datasets through their life in a catalog, with what each step told."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from datamill import topology
from datamill.request import Request
from datamill_builder.catalog import Catalog, lifecycle, tasks
from datamill_builder.catalog.lifecycle import ArchiveResult, PlannedShard, ShardResult
from datamill_builder.catalog.outbox import unsent
from datamill_builder.catalog.schema import tasks as tasks_table
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim

URL = "http://here.test"
KEY = "c" * 64
ARCHIVE = f"toy_1.0.0_{KEY}.zip"


def request(name: str = "toy", **config: Any) -> Request:
    return Request.of(name, "1.0.0", config)


def shard_result(number: int, fence: int = 1, skipped: int = 0) -> ShardResult:
    bad = [{"key": f"{number}-{n}", "reason": "broken"} for n in range(skipped)]
    return ShardResult(
        f"{number:05d}-{fence}.tfrecord", 4 - skipped, 100, f"{number:064x}", bad, 0.5
    )


class Life:
    """Steps as a builder takes them, each in a transaction of its own."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._heard = 0

    # --- steps ---

    def accept(self, asked: Request, message_id: str = "m1") -> str:
        with self.catalog.write() as change:
            lifecycle.log_requests(change, [message_id], asked.dataset_id)
            lifecycle.accept_new(change, asked)
            lifecycle.wait_for(change, asked.dataset_id, 1)
        return asked.dataset_id

    def claim(self, kind: TaskKind, subject: str, index: int = 0, owner: str = "me") -> Claim:
        with self.catalog.write() as change:
            claim = tasks.claim(change, kind, subject, index, owner)
        assert claim is not None, f"{kind} {subject[:8]}.{index} is not pending"
        return claim

    def resolve(self, dataset_id: str, key: str = KEY, mode: str = "sharded") -> Any:
        claim = self.claim(TaskKind.RESOLVE, dataset_id)
        recipe = {"dataset_name": "toy", "config": {"repeat": 1}, "mode": mode}
        with self.catalog.write() as change:
            return lifecycle.resolved(change, claim, key, recipe, "{}")

    def plan(self, shards: int, key: str = KEY) -> None:
        claim = self.claim(TaskKind.PLAN, key)
        planned = [PlannedShard("train", 10 * n, 10) for n in range(shards)]
        with self.catalog.write() as change:
            lifecycle.plan_done(change, claim, None, 4 * shards, 4 * shards, planned)

    def shard(self, index: int, key: str = KEY, skipped: int = 0) -> Claim:
        claim = self.claim(TaskKind.SHARD, key, index)
        with self.catalog.write() as change:
            result = shard_result(index, claim.fence, skipped)
            lifecycle.shard_done(change, claim, result, URL)
        return claim

    def pack(self, key: str = KEY, name: str = ARCHIVE, mark: str = "mark") -> None:
        claim = self.claim(TaskKind.PACK, key)
        with self.catalog.write() as change:
            shards = lifecycle.find_shards(change.connection, key)
            offsets = [1000 + shard.number for shard in shards]
            archive = ArchiveResult(name, 5000, "a" * 64, mark, offsets)
            records = sum(shard.records for shard in shards)
            lifecycle.pack_done(change, claim, archive, records, URL)

    def ready(self, asked: Request, key: str = KEY, shards: int = 2) -> str:
        """From nothing to an archive."""
        dataset_id = self.building(asked, key, shards)
        for index in range(shards):
            self.shard(index, key)
        self.pack(key)
        return dataset_id

    def building(self, asked: Request, key: str = KEY, shards: int = 2) -> str:
        """From nothing to shards that can be made."""
        dataset_id = self.accept(asked, f"m-{asked.dataset_id}")
        self.resolve(dataset_id, key)
        self.plan(shards, key)
        return dataset_id

    # --- what is there ---

    def build(self, key: str = KEY) -> Any:
        with self.catalog.read() as connection:
            row = lifecycle.find_build(connection, key)
        assert row is not None
        return row

    def dataset(self, dataset_id: str) -> Any:
        with self.catalog.read() as connection:
            row = lifecycle.find_dataset(connection, dataset_id)
        assert row is not None
        return row

    def shards(self, key: str = KEY) -> list[Any]:
        with self.catalog.read() as connection:
            return lifecycle.find_shards(connection, key)

    def task(self, kind: TaskKind, subject: str, index: int = 0) -> Any:
        table = tasks_table.c
        with self.catalog.read() as connection:
            return connection.execute(
                select(tasks_table).where(
                    table.kind == kind, table.subject == subject, table.number == index
                )
            ).one()

    def pending(self) -> set[tuple[TaskKind, str, int]]:
        with self.catalog.read() as connection:
            return set(tasks.pending(connection))

    # --- what was told since the last look ---

    def told(self) -> list[dict[str, Any]]:
        """Return the events that were written since the last look, in order."""
        return [
            json.loads(message.body)
            for message in self._new_messages()
            if message.exchange == topology.EVENTS_EXCHANGE
        ]

    def woken(self) -> list[tuple[str, str, int]]:
        """Return (task, subject, index) of the tickets written since the last look."""
        tickets = [
            json.loads(message.body)
            for message in self._new_messages()
            if message.exchange == topology.WORK_EXCHANGE
        ]
        return [(ticket["task"], ticket["subject"], ticket["index"]) for ticket in tickets]

    def forget_told(self) -> None:
        self._new_messages()

    def _new_messages(self) -> list[Any]:
        with self.catalog.read() as connection:
            messages = unsent(connection)
        new, self._heard = messages[self._heard :], len(messages)
        return new
