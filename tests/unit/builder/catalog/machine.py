"""Steps of several owners in random order; each is taken in the catalog and in the model."""

from __future__ import annotations

import json
from collections.abc import Iterable

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import select

from datamill.broker import Delivery
from datamill_builder.catalog import downloads, lifecycle, schema, tasks
from datamill_builder.catalog.holdings import KEPT_SECS, Stays, make_room, take_away
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim
from datamill_builder.leases import Identity, Watch
from datamill_builder.raw import unchanged_in_full
from tests.unit.builder.catalog.checked import Checked, archive_name, name_of
from tests.unit.builder.catalog.model import SAME_QUESTION_SECS, Model, TaskName
from tests.unit.builder.life import request

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


class Machine(Checked, RuleBasedStateMachine):
    """What may happen next. `keys`: the content key by a request's `n` and the raw data."""

    keys: dict[tuple[int, bool], str]
    identity: Identity
    clock: Clock

    @initialize()
    def begin(self) -> None:
        self.begin_anew(Model(now=self.clock.now, marks=self.parts.write_raw(more=False)))
        self.names: dict[int, TaskName] = {}
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
        self.names[claimed.task_id] = name_of(claimed)
        self.model.claimed(name_of(claimed))
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
        held = self.model.holds(name_of(claim), claim.fence)
        assert self.moves.ends(claim) - ends == held, "the holder's completion counts, once"
        if not held:
            return
        if gave_up or claim.subject == BAD.dataset_id:
            self.model.gave_up(name_of(claim))
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
        held = self.model.holds(name_of(claim), claim.fence)
        self.parts.give_up(claim)
        if held:
            self.model.gave_up(name_of(claim))

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def try_again(self, pick: int) -> None:
        claim = self.claims.pop(pick % len(self.claims))
        held = self.model.holds(name_of(claim), claim.fence)
        self.parts.stumble(claim)
        if held:
            self.model.stumbled(name_of(claim), claim.attempts)

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def hand_back(self, pick: int) -> None:
        claim = self.claims.pop(pick % len(self.claims))
        held = self.model.holds(name_of(claim), claim.fence)
        self.parts.hand_back(claim)
        if held:
            self.model.handed_back(name_of(claim))

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

    @precondition(lambda self: self.model.builds)
    @rule()
    def evict(self) -> None:
        made = make_room(self.parts.catalog, self.parts.store, 0)
        assert len(made.gone) == self.model.evicted()

    @precondition(lambda self: self.model.builds)
    @rule(pick=picks, force=st.booleans())
    def take_away(self, pick: int, force: bool) -> None:
        """Somebody wants one dataset gone."""
        key = self._one_of(self.model.builds, pick)
        taken = take_away(self.parts.catalog, self.parts.store, key, force=force)
        assert (taken if isinstance(taken, Stays | None) else "taken") == self.model.taken_away(
            key, force
        )

    @precondition(lambda self: self.model.builds)
    @rule(pick=picks, pinned=st.booleans())
    def pin(self, pick: int, pinned: bool) -> None:
        key = self._one_of(self.model.builds, pick)
        with self.parts.catalog.write() as change:
            changed = (lifecycle.pin if pinned else lifecycle.unpin)(change, key)
        assert changed == self.model.pinned(key, pinned)

    @precondition(lambda self: self.archives())
    @rule(pick=picks)
    def begin_a_download(self, pick: int) -> None:
        key = self._one_of(self.archives(), pick)
        with self.parts.catalog.write() as change:
            begun = downloads.begin(change, key, self.clock.now, "notifier")
        self.downloads.append((key, begun))
        self.model.fetching(key)

    @precondition(lambda self: self.downloads)
    @rule()
    def end_a_download(self) -> None:
        key, begun = self.downloads.pop(0)
        with self.parts.catalog.write() as change:
            downloads.end(change, [(begun, 1, self.clock.now)])
        self.model.fetched(key)

    @staticmethod
    def _one_of(keys: Iterable[str], pick: int) -> str:
        known = sorted(keys)
        return known[pick % len(known)]

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
        self.parts.harm(self.parts.store.archive_path(archive_name(key)), how)
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

    # --- after each step, and at the end ---

    @invariant()
    def nothing_is_wrong(self) -> None:
        self.all_is_well()

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
