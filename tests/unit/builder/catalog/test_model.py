"""Whatever happens in whatever order, the catalog holds what a plain model says.

`DATAMILL_TEST_EXAMPLES=5000` makes a long run of it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from datamill import topology
from datamill.broker import Delivery
from datamill_builder.catalog import Catalog, lifecycle, schema, tasks
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind, TaskState
from datamill_builder.catalog.tasks import Claim
from datamill_builder.eviction import KEPT_SECS, make_room
from datamill_builder.leases import Identity, Watch
from datamill_builder.raw import unchanged_in_full
from tests.unit.builder.catalog.model import SAME_QUESTION_SECS, WORKING, Model, TaskName
from tests.unit.builder.catalog.moves import Moves
from tests.unit.builder.catalog.parts import Parts
from tests.unit.builder.life import request

EXAMPLES = int(os.environ.get("DATAMILL_TEST_EXAMPLES", "25"))

TOY, ALIAS, CLASSIC, BAD = request(n=0), request(n=0, default=1), request(n=1), request(bad=1)
REQUESTS = {asked.dataset_id: asked for asked in (TOY, ALIAS, CLASSIC, BAD)}
IDS = list(REQUESTS)

ids = st.sampled_from(IDS)
picks = st.integers(0, 999)
messages = st.tuples(ids, st.sampled_from(["m1", "m2", "m3", "m4", None]), st.booleans())


class Clock:
    """Stands in for `time.time`: hours pass when a rule says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Machine(RuleBasedStateMachine):
    """Steps of several owners; each is taken in the catalog and in the model."""

    is_well = False
    parts: Parts
    keys: dict[tuple[int, bool], str]
    identity: Identity
    clock: Clock
    moves: Moves

    @initialize()
    def begin(self) -> None:
        self.moves.clear()
        self.model = Model(now=self.clock.now, marks=self.parts.write_raw(more=False))
        self.claims: list[Claim] = []
        """What owners hold, or believe to hold."""
        self.names: dict[int, TaskName] = {}
        self.open: set[str] = set()
        """Dataset ids that were asked for and not answered since."""
        self.heard = -1
        self.counts: dict[Any, int] = {}
        self.parts.on_checked(self.model.looked_at, lambda: None)
        # The first question of most: so that few steps lead somewhere.
        self.ask([(TOY.dataset_id, "m0", False)])

    # --- requests ---

    @rule(batch=st.lists(messages, min_size=1, max_size=3))
    def ask(self, batch: list[tuple[str, str | None, bool]]) -> None:
        """Messages come in, some of them with a field too many."""
        deliveries, good, bad = [], {}, []
        for tag, (id_, message_id, is_bad) in enumerate(batch):
            said = REQUESTS[id_].model_dump() | ({"extra": 1} if is_bad else {})
            body = json.dumps(said).encode()
            deliveries.append(Delivery(body, "dataset.request.toy", message_id, False, tag))
            if is_bad:
                bad.append(id_)
            else:
                good.setdefault(id_, []).append(message_id)
        assert self.parts.intake.handle(deliveries) == [not is_bad for *_, is_bad in batch]
        for id_ in sorted(good):
            self.model.asked(id_, good[id_])
        for id_ in bad:
            self.model.refused(id_)
        self.open.update(good)

    @rule(again=st.booleans())
    def replay(self, again: bool) -> None:
        """The first accepted requests come once more, as the same messages or as new ones."""
        first = select(schema.requests).order_by(schema.requests.c.seq).limit(8)
        with self.parts.catalog.read() as connection:
            log = connection.execute(first).all()
        named = [(row.dataset_id, row.message_id) for row in log]
        self.model.log.update((message_id, id_) for id_, message_id in named)
        self.ask([(id_, message if again else None, False) for id_, message in named])

    # --- claims ---

    @precondition(lambda self: self.pending())
    @rule(pick=picks, owner=st.sampled_from(["one", "two", "three"]), fair=st.booleans())
    def claim(self, pick: int, owner: str, fair: bool) -> None:
        """Somebody claims what is pending."""
        self.claims.append(self._claim(pick, owner, fair))

    def _claim(self, pick: int, owner: str, fair: bool = False) -> Claim:
        kind, subject, index = sorted(self.pending())[pick % len(self.pending())]
        with self.parts.catalog.write() as change:
            if fair and kind is TaskKind.SHARD:
                claimed = tasks.claim_fair_shard(change, owner)
            else:
                claimed = tasks.claim(change, kind, subject, index, owner)
        assert claimed is not None
        self.names[claimed.task_id] = _name(claimed)
        self.model.claimed(_name(claimed))
        return claimed

    @rule(id_=ids)
    def claim_what_is_not_pending(self, id_: str) -> None:
        known = self.model.datasets.get(id_)
        for name in [(TaskKind.RESOLVE, id_, 0), (TaskKind.PACK, (known and known.key) or "-", 0)]:
            if name not in self.pending():
                with self.parts.catalog.write() as change:
                    assert tasks.claim(change, *name, "late") is None

    # --- work, by those who hold it and by those who did ---

    @precondition(lambda self: self.claims)
    @rule(
        pick=picks, meanwhile=st.sampled_from([None, "cancel", "expire", "evict", "ask"]), id_=ids
    )
    def work(self, pick: int, meanwhile: str | None, id_: str) -> None:
        """Somebody gets done with a task, current or long lost; others act meanwhile."""
        actions = {
            "cancel": lambda: self.cancel(id_),
            "expire": lambda: self.expire([True], beats=False),
            "evict": self.evict,
            "ask": lambda: self.ask([(id_, None, False)]),
        }
        if meanwhile is not None:
            waiting = [actions[meanwhile]]
            act = lambda: waiting.pop()() if waiting else None  # noqa: E731
            self.parts.on_checked(self.model.looked_at, act)
        self.finish(self.claims.pop(pick % len(self.claims)))
        self.parts.on_checked(self.model.looked_at, lambda: None)

    @precondition(lambda self: self.held())
    @rule(pick=picks)
    def work_in_time(self, pick: int) -> None:
        claim = self.held()[pick % len(self.held())]
        self.claims.remove(claim)
        self.finish(claim)

    @precondition(lambda self: self.pending())
    @rule(times=st.integers(1, 6), pick=picks)
    def go_on(self, times: int, pick: int) -> None:
        """A few steps without disturbance."""
        for _ in range(times):
            if self.pending():
                self.finish(self._claim(pick, "one"))

    def finish(self, claim: Claim) -> None:
        gave_up = claim.kind is TaskKind.SHARD and claim.attempts > 12
        raw, ends = self.model.raw, self.moves.ends(claim)
        self.parts.work(claim)
        held = self.model.holds(_name(claim), claim.fence)
        assert self.moves.ends(claim) - ends == held, "the holder's completion counts, once"
        if not held:
            return
        if gave_up or claim.subject == BAD.dataset_id:
            self.model.gave_up(_name(claim))
        elif claim.kind is TaskKind.RESOLVE:
            number = REQUESTS[claim.subject].dataset_config["n"]
            key = self.keys[number, raw]
            self.model.resolved(claim.subject, key, whole=bool(number % 2), raw=raw)
        elif claim.kind is TaskKind.PLAN:
            self.model.planned(claim.subject)
        elif claim.kind is TaskKind.SHARD:
            self.model.made(claim.subject, claim.index)
        else:
            self.model.packed(claim.subject)

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def fail(self, pick: int) -> None:
        claim = self.claims.pop(pick % len(self.claims))
        held = self.model.holds(_name(claim), claim.fence)
        self.parts.give_up(claim)
        if held:
            self.model.gave_up(_name(claim))

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def try_again(self, pick: int) -> None:
        claim = self.claims.pop(pick % len(self.claims))
        held = self.model.holds(_name(claim), claim.fence)
        self.parts.stumble(claim)
        if held:
            self.model.stumbled(_name(claim), claim.attempts)

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def hand_back(self, pick: int) -> None:
        claim = self.claims.pop(pick % len(self.claims))
        held = self.model.holds(_name(claim), claim.fence)
        self.parts.hand_back(claim)
        if held:
            self.model.handed_back(_name(claim))

    @precondition(lambda self: self.held())
    @rule(gone=st.lists(st.booleans(), min_size=1, max_size=4), beats=st.booleans())
    def expire(self, gone: list[bool], beats: bool) -> None:
        """Leases run out, unless their owners show a sign of life in the last moment."""
        with self.parts.catalog.read() as connection:
            leased = tasks.leased(connection)
        lost = Watch(self.identity, lease_secs=-1.0).lost(leased)
        assert lost == leased
        lost = [task for number, task in enumerate(lost) if gone[number % len(gone)]]
        alive = self.held()[:1] if beats else []
        with self.parts.catalog.write() as change:
            assert tasks.beat(change, alive) == []
        with self.parts.catalog.write() as change:
            tasks.take_from(change, lost)
        for task_id in {task.task_id for task in lost} - {claim.task_id for claim in alive}:
            self.model.lost(self.names[task_id])

    # --- others ---

    @precondition(lambda self: any(map(self.model.in_work, IDS)))
    @rule(id_=ids)
    def cancel(self, id_: str) -> None:
        with self.parts.catalog.write() as change:
            stopped = lifecycle.cancel(change, id_)
        assert stopped == self.model.cancelled(id_)

    @precondition(lambda self: self.archives())
    @rule()
    def evict(self) -> None:
        evicted = make_room(self.parts.catalog, self.parts.store, 0)
        assert evicted == self.model.evicted()

    @rule(secs=st.sampled_from([2.0, SAME_QUESTION_SECS + 1, KEPT_SECS + 1]))
    def wait(self, secs: float) -> None:
        self.clock.now += secs
        self.model.now += secs

    @rule(raw=st.booleans())
    def change_raw_data(self, raw: bool) -> None:
        self.model.raw_changed(raw, self.parts.write_raw(more=raw))

    @precondition(lambda self: self.parts.looked_at)
    @rule()
    def watch_raw_data(self) -> None:
        changed = {one for one in self.parts.looked_at if not unchanged_in_full(one)}
        for one in set(self.parts.looked_at):
            self.parts.watch._look(one)
        self.model.marks_forgotten({self.parts.number_of(one) for one in changed})
        self.parts.looked_at.clear()

    @precondition(lambda self: self.archives())
    @rule(pick=picks, how=st.sampled_from(["touched", "damaged", "gone"]))
    def harm_an_archive(self, pick: int, how: str) -> None:
        key = self.archives()[pick % len(self.archives())]
        self.parts.harm(self.parts.store.archive_path(_archive_name(key)), how)
        self.model.builds[key].archive = how

    @precondition(lambda self: self.shard_files())
    @rule(pick=picks, how=st.sampled_from(["flipped", "gone"]))
    def harm_a_shard(self, pick: int, how: str) -> None:
        key, index = self.shard_files()[pick % len(self.shard_files())]
        with self.parts.catalog.read() as connection:
            file = lifecycle.find_shards(connection, key)[index].file
        self.parts.harm(self.parts.store.shard_path(key, file), how)
        shards = self.model.builds[key].shards
        assert shards is not None
        shards[index].file = how

    # --- what is there, as the model says ---

    def pending(self) -> list[TaskName]:
        return [n for n, task in self.model.tasks.items() if task.state == TaskState.PENDING]

    def held(self) -> list[Claim]:
        return [claim for claim in self.claims if self.model.holds(_name(claim), claim.fence)]

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

    @invariant()
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
            row.dataset_id: (row.state, row.content_key, row.waiting, row.raw_marks is None)
            for row in datasets
        } == {
            id_: (known.state, known.key, known.waiting, known.marks is None)
            for id_, known in self.model.datasets.items()
        }
        assert {row.content_key: (row.state, row.epoch) for row in builds} == {
            key: (build.state, build.epoch) for key, build in self.model.builds.items()
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
        assert there == {_archive_name(key) for key in kept}

    def teardown(self) -> None:
        """Whatever is left to do is done: then all who asked have their answer."""
        try:
            if self.is_well:
                self.come_to_an_end()
        finally:
            self.parts.forget_all()

    def come_to_an_end(self) -> None:
        if self.held():
            self.expire([True], beats=False)
        for _ in range(100):
            if self.pending():
                self.finish(self._claim(0, "last"))
                self.all_is_well()
        assert not self.open and not self.pending()


def _name(claim: Claim) -> TaskName:
    return (claim.kind, claim.subject, claim.index)


def _archive_name(key: str) -> str:
    return f"toy_1.0.0_{key}.zip"


@pytest.fixture
def machine(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[RuleBasedStateMachine]]:
    """The machine, over a catalog and a store of its own."""
    with tempfile.TemporaryDirectory(dir=memory) as name, Moves() as heard:
        folder = Path(name)
        owner = Identity(folder / "builders")
        played_clock = Clock()
        monkeypatch.setattr(time, "time", played_clock)
        catalog = Catalog(f"sqlite:///{folder / 'catalog.sqlite'}")
        builder = Parts(catalog, folder)
        known = {}
        for raw in (False, True):
            builder.write_raw(more=raw)
            for asked in (TOY, CLASSIC):
                known[asked.dataset_config["n"], raw] = builder.content_key(asked)

        class Placed(Machine):
            parts, keys, identity, clock, moves = builder, known, owner, played_clock, heard

        yield Placed
        catalog.close()
        owner.release()


def test_the_catalog_holds_what_the_model_says(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
