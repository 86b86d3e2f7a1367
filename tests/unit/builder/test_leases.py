"""Signs of life: who is gone loses its work soon, who lives keeps it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from datamill_builder import leases as leases_module
from datamill_builder.catalog import Catalog, tasks
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.tasks import Claim, LeasedTask
from datamill_builder.leases import Identity, Leases, Watch
from tests.support.json_log import LogLines
from tests.unit.builder.forker import Forker, kill
from tests.unit.builder.life import Life, request
from tests.unit.builder.waiting import told, until

FAST_SECS = 0.03
"""A lease that is renewed every 10 ms."""


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return Identity(tmp_path / "builders")


class Clock:
    """The monotonic clock of one watcher, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases_module, "time", made)
    return made


def held(beat: int = 0, fence: int = 1, owner: str = "elsewhere") -> LeasedTask:
    return LeasedTask(1, fence, beat, owner)


# --- names ---


def test_two_builders_have_two_names(tmp_path: Path, identity: Identity) -> None:
    other = Identity(tmp_path / "builders")
    assert other.name != identity.name
    assert not identity.is_gone(other.name)
    assert not other.is_gone(identity.name)
    assert not identity.is_gone(identity.name)


def test_a_builder_of_another_machine_is_not_known_to_be_gone(identity: Identity) -> None:
    assert not identity.is_gone("f" * 32)


def test_a_released_name_is_gone(tmp_path: Path, identity: Identity) -> None:
    other = Identity(tmp_path / "builders")
    other.release()
    assert identity.is_gone(other.name)
    assert identity.is_gone(other.name), "looking does not take the name"


def test_a_killed_builder_is_gone_at_once(
    tmp_path: Path, identity: Identity, forker: Forker
) -> None:
    pid = forker.start("hold_identity", tmp_path / "builders", tmp_path / "told")
    name = told(tmp_path / "told")
    assert not identity.is_gone(name)
    watch = Watch(identity, lease_secs=3600)
    assert watch.lost([held(owner=name)]) == []
    kill(pid)
    until(lambda: identity.is_gone(name))
    assert watch.lost([held(owner=name)]) == [held(owner=name)], "no lease is waited for"


def test_old_names_are_forgotten_live_ones_are_not(tmp_path: Path, identity: Identity) -> None:
    folder = tmp_path / "builders"
    gone = Identity(folder)
    gone.release()
    for name in (gone.name, identity.name):
        os.utime(folder / f"{name}.lock", (1, 1))
    newest = Identity(folder)
    assert {lock.stem for lock in folder.glob("*.lock")} == {identity.name, newest.name}


# --- watching ---


def test_a_beat_that_stands_still_for_a_lease_is_lost(identity: Identity, clock: Clock) -> None:
    watch = Watch(identity, lease_secs=30)
    for _look in range(7):
        assert watch.lost([held()]) == []
        clock.now += 5
    assert watch.lost([held()]) == [held()]


def test_time_in_which_nobody_could_look_takes_no_lease(identity: Identity, clock: Clock) -> None:
    watch = Watch(identity, lease_secs=30)
    assert watch.lost([held()]) == []
    clock.now += 3600  # the catalog was away: no owner could show a sign of life
    for _look in range(6):
        assert watch.lost([held()]) == []
        clock.now += 5
    assert watch.lost([held()]) == [held()], "one that shows none after it is lost all the same"


def test_each_beat_begins_the_lease_anew(identity: Identity, clock: Clock) -> None:
    watch = Watch(identity, lease_secs=30)
    for beat in range(10):
        assert watch.lost([held(beat)]) == []
        clock.now += 29
    assert watch.lost([held(9)]) == []


def test_a_new_owner_has_a_lease_of_its_own(identity: Identity, clock: Clock) -> None:
    watch = Watch(identity, lease_secs=30)
    watch.lost([held(beat=5, fence=1)])
    clock.now += 31
    assert watch.lost([held(beat=0, fence=2)]) == []


def test_what_was_away_meanwhile_is_not_held_against_it(identity: Identity, clock: Clock) -> None:
    watch = Watch(identity, lease_secs=30)
    watch.lost([held()])
    clock.now += 29
    watch.lost([])
    clock.now += 29
    assert watch.lost([held()]) == []


def test_a_watcher_that_was_paused_takes_nothing_from_the_living(
    identity: Identity, clock: Clock, catalog: Catalog, life: Life
) -> None:
    life.accept(request())
    claim = life.claim(TaskKind.RESOLVE, request().dataset_id, owner="elsewhere")
    watch = Watch(identity, lease_secs=30)
    with catalog.read() as connection:
        seen = tasks.leased(connection)
    watch.lost(seen)
    clock.now += 3600  # paused; the owner goes on beating
    with catalog.write() as change:
        tasks.beat(change, [claim])
    lost = watch.lost(seen)
    with catalog.write() as change:
        tasks.take_from(change, lost)
    with catalog.write() as change:
        tasks.complete(change, claim)


# --- beating ---


@pytest.fixture
def leases(catalog: Catalog) -> Leases:
    return Leases(catalog, FAST_SECS)


def claim_one(life: Life) -> Claim:
    life.accept(request())
    return life.claim(TaskKind.RESOLVE, request().dataset_id)


def beats(life: Life) -> int:
    return int(life.task(TaskKind.RESOLVE, request().dataset_id).beat)


def ended(thread: Leases) -> None:
    thread.stop()
    thread.join(5.0)
    assert not thread.is_alive()


def test_what_is_held_shows_life_until_it_is_let_go(life: Life, leases: Leases) -> None:
    claim = claim_one(life)
    leases.start()
    with leases.hold(claim, on_lost=lambda: None):
        until(lambda: beats(life) >= 3)
    before = beats(life)
    ended(leases)
    assert beats(life) <= before + 1, "at most the beat that was on its way"


def test_the_holder_is_told_of_its_loss(
    life: Life, leases: Leases, catalog: Catalog, log_lines: LogLines
) -> None:
    claim = claim_one(life)
    lost = threading.Event()
    leases.start()
    with leases.hold(claim, on_lost=lost.set):
        until(lambda: beats(life) >= 1)
        assert not lost.is_set()
        with catalog.write() as change:
            tasks.cancel_all(change, claim.subject)
        assert lost.wait(5.0)
    ended(leases)
    (line,) = [line for line in log_lines() if "given to another" in line["message"]]
    assert line["dataset_id"] == claim.subject


def test_who_has_finished_is_not_told_of_a_loss(
    life: Life, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claim_one(life)
    leases = Leases(catalog, FAST_SECS)
    told_of, looked = threading.Event(), threading.Event()
    beat: Callable[..., list[Claim]] = tasks.beat
    holding = leases.hold(claim, on_lost=told_of.set)

    def late_beat(change: object, claims: list[Claim]) -> list[Claim]:
        # The work ends between the look at what is held and the beat.
        tasks.complete(change, claim)  # type: ignore[arg-type]
        holding.__exit__(None, None, None)
        lost = beat(change, claims)
        assert lost == [claim]
        looked.set()
        return lost

    monkeypatch.setattr(tasks, "beat", late_beat)
    holding.__enter__()
    leases.start()
    assert looked.wait(5.0)
    ended(leases)
    assert not told_of.is_set()
    assert life.task(TaskKind.RESOLVE, claim.subject).state == TaskState.DONE
