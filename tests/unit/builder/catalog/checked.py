"""What has to hold after each step: the catalog is what the model says, and nobody is forgotten."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from sqlalchemy import select

from datamill import topology
from datamill_builder.catalog import downloads, schema
from datamill_builder.catalog.states import BuildState, DatasetState, TaskState
from datamill_builder.catalog.tasks import Claim
from tests.unit.builder.catalog.model import WORKING, Model, TaskName
from tests.unit.builder.catalog.moves import Moves
from tests.unit.builder.catalog.parts import Parts


class Checked:
    """A catalog and a store beside their model."""

    parts: Parts
    moves: Moves
    is_well = False

    def begin_anew(self, model: Model) -> None:
        """Compare with another model; the catalog and the store are empty."""
        self.moves.clear()
        self.model = model
        self.claims: list[Claim] = []
        """What owners hold, or believe to hold."""
        self.open: set[str] = set()
        """Dataset ids that were asked for and not answered since."""
        self.downloads: list[tuple[str, downloads.Download]] = []
        """Those that are under way, with the content key."""
        self.heard = -1
        self.counts: dict[Any, int] = {}

    # --- what is there, as the model says ---

    def pending(self) -> list[TaskName]:
        return [n for n, task in self.model.tasks.items() if task.state == TaskState.PENDING]

    def held(self) -> list[Claim]:
        return [claim for claim in self.claims if self.model.holds(name_of(claim), claim.fence)]

    def archives(self) -> list[str]:
        builds = self.model.builds.items()
        return [k for k, b in builds if b.state == BuildState.READY and b.archive == "whole"]

    def shard_files(self) -> list[tuple[str, int]]:
        return [
            (key, index)
            for key, build in self.model.builds.items()
            for index, shard in enumerate(build.shards or [])
            if shard.file == "whole"
        ]

    # --- what has to hold after each step ---

    def all_is_well(self) -> None:
        self.is_well = False
        self.moves.check()
        self.the_catalog_holds_what_the_model_says()
        self.those_are_told_who_asked()
        self.nobody_is_forgotten()
        self.only_whole_archives_are_public()
        self.is_well = True

    def the_catalog_holds_what_the_model_says(self) -> None:
        with self.parts.catalog.read() as connection:
            datasets, builds, shards, rows = (
                connection.execute(select(table)).all()
                for table in (schema.datasets, schema.builds, schema.shards, schema.tasks)
            )
        assert {
            row.dataset_id: (
                row.state,
                row.content_key,
                row.meant,
                row.waiting,
                row.raw_marks is None,
            )
            for row in datasets
        } == {
            id_: (known.state, known.key, known.meant, known.waiting, known.marks is None)
            for id_, known in self.model.datasets.items()
        }
        assert {
            row.content_key: (row.state, row.epoch, row.pinned_at is not None) for row in builds
        } == {
            key: (build.state, build.epoch, build.pinned)
            for key, build in self.model.builds.items()
        }
        assert {(row.content_key, row.number): row.sha256 is not None for row in shards} == {
            (key, index): shard.made
            for key, build in self.model.builds.items()
            for index, shard in enumerate(build.shards or [])
        }
        assert {
            (row.kind, row.subject, row.number): (row.state, row.fence, row.attempts)
            for row in rows
        } == {
            name: (task.state, task.fence, task.attempts) for name, task in self.model.tasks.items()
        }
        self._only_grow({row.task_id: row.fence for row in rows})
        self._only_grow({row.content_key: row.epoch for row in builds})

    def _only_grow(self, counts: dict[Any, int]) -> None:
        assert all(count >= self.counts.get(name, 0) for name, count in counts.items())
        self.counts.update(counts)

    def those_are_told_who_asked(self) -> None:
        with self.parts.catalog.read() as connection:
            table = schema.outbox.c
            new = connection.execute(
                select(table.seq, table.exchange, table.body)
                .where(table.seq > self.heard)
                .order_by(table.seq)
            ).all()
        self.heard = new[-1].seq if new else self.heard
        events = [json.loads(m.body) for m in new if m.exchange == topology.EVENTS_EXCHANGE]
        told = Counter((event["event"], event["dataset_id"]) for event in events)
        answers = {name: n for name, n in told.items() if name[0] in ("ready", "failed", "evicted")}
        assert answers == self.model.told
        self.model.told.clear()
        self.open -= {id_ for event, id_ in answers if event in ("ready", "failed")}

    def nobody_is_forgotten(self) -> None:
        for id_ in self.open:
            subject = self.model.datasets[id_].key or id_
            active = [
                name
                for name, task in self.model.tasks.items()
                if name[1] == subject and task.state in (TaskState.PENDING, TaskState.LEASED)
            ]
            assert active, f"{id_} was asked for, and nobody has to do anything for it"
        for known in self.model.datasets.values():
            in_work = known.key is None or self.model.builds[known.key].state in WORKING
            assert not known.waiting or (in_work and known.state != DatasetState.FAILED)

    def only_whole_archives_are_public(self) -> None:
        there = {path.name for path in (self.parts.store.root / "archives").iterdir()}
        kept = {k for k, b in self.model.builds.items() if b.archive != "gone"}
        assert there == {archive_name(key) for key in kept}


def name_of(claim: Claim) -> TaskName:
    return (claim.kind, claim.subject, claim.index)


def archive_name(key: str) -> str:
    return f"toy_1.0.0_{key}.zip"
