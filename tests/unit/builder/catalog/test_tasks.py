"""Leased work: one owner at a time, and nobody who was given up can write."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from datamill_builder.catalog import Catalog, lifecycle, tasks
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.tasks import Claim, StaleFence
from tests.unit.builder.forker import Forker
from tests.unit.builder.life import Life, request
from tests.unit.builder.waiting import told

LARGE, SMALL = "1" * 64, "2" * 64


@pytest.fixture
def add(catalog: Catalog) -> None:
    with catalog.write() as change:
        tasks.ensure(change, TaskKind.PLAN, "subject")


def claim(catalog: Catalog, owner: str = "me") -> Claim | None:
    with catalog.write() as change:
        return tasks.claim(change, TaskKind.PLAN, "subject", 0, owner)


def claimed(catalog: Catalog, owner: str = "me") -> Claim:
    got = claim(catalog, owner)
    assert got is not None
    return got


@pytest.mark.usefixtures("add")
def test_a_claim_is_exclusive(catalog: Catalog) -> None:
    assert claim(catalog, "one") is not None
    assert claim(catalog, "other") is None


def test_what_is_not_there_can_not_be_claimed(catalog: Catalog) -> None:
    assert claim(catalog) is None


@pytest.mark.usefixtures("add")
@pytest.mark.parametrize("late", [tasks.complete, tasks.hand_back, tasks.put_aside])
def test_a_late_owner_changes_nothing(catalog: Catalog, life: Life, late: object) -> None:
    old = claimed(catalog, "paused")
    with catalog.write() as change:
        tasks.hand_back(change, old)
    new = claimed(catalog, "next")
    assert new.fence > old.fence
    with pytest.raises(StaleFence), catalog.write() as change:
        late(change, old)  # type: ignore[operator]
    row = life.task(TaskKind.PLAN, "subject")
    assert (row.state, row.owner, row.fence) == (TaskState.LEASED, "next", new.fence)


@pytest.mark.usefixtures("add")
@pytest.mark.parametrize("late", [tasks.fail, tasks.try_again])
def test_a_late_owner_can_not_report_a_failure(catalog: Catalog, life: Life, late: object) -> None:
    old = claimed(catalog)
    with catalog.write() as change:
        tasks.cancel_all(change, "subject")
    with pytest.raises(StaleFence), catalog.write() as change:
        late(change, old, "too late")  # type: ignore[operator]
    row = life.task(TaskKind.PLAN, "subject")
    assert (row.state, row.error) == (TaskState.CANCELLED, None)


@pytest.mark.usefixtures("add")
def test_a_stale_write_takes_the_rest_of_its_change_with_it(catalog: Catalog, life: Life) -> None:
    old = claimed(catalog)
    with catalog.write() as change:
        tasks.hand_back(change, old)
    life.forget_told()
    with pytest.raises(StaleFence), catalog.write() as change:
        tasks.ensure(change, TaskKind.PLAN, "another")
        tasks.complete(change, old)
    assert life.pending() == {(TaskKind.PLAN, "subject", 0)}
    assert life.woken() == []


@pytest.mark.usefixtures("add")
def test_handing_back_does_not_count_as_an_attempt(catalog: Catalog, life: Life) -> None:
    for _ in range(5):
        with catalog.write() as change:
            tasks.hand_back(change, claimed_in(change))
    assert claimed(catalog).attempts == 1
    assert len(life.woken()) == 1 + 5, "somebody is woken each time"


@pytest.mark.usefixtures("add")
def test_what_is_put_aside_wakes_nobody_and_counts_no_attempt(catalog: Catalog, life: Life) -> None:
    life.forget_told()
    got = claimed(catalog)
    with catalog.write() as change:
        tasks.put_aside(change, got)
    assert life.woken() == []
    assert life.pending() == {(TaskKind.PLAN, "subject", 0)}
    assert claimed(catalog).attempts == 1


def claimed_in(change: object) -> Claim:
    got = tasks.claim(change, TaskKind.PLAN, "subject", 0, "me")  # type: ignore[arg-type]
    assert got is not None
    return got


@pytest.mark.usefixtures("add")
def test_trying_again_counts(catalog: Catalog, life: Life) -> None:
    life.forget_told()
    for number in range(1, 4):
        got = claimed(catalog)
        assert got.attempts == number
        with catalog.write() as change:
            tasks.try_again(change, got, f"error {number}")
        assert life.woken() == [("plan", "subject", 0)]
    assert life.task(TaskKind.PLAN, "subject").error == "error 3"


@pytest.mark.usefixtures("add")
def test_what_has_ended_can_begin_anew(catalog: Catalog, life: Life) -> None:
    got = claimed(catalog)
    with catalog.write() as change:
        tasks.fail(change, got, "no")
    with catalog.write() as change:
        tasks.ensure(change, TaskKind.PLAN, "subject")
    row = life.task(TaskKind.PLAN, "subject")
    assert (row.state, row.attempts, row.error) == (TaskState.PENDING, 0, None)


@pytest.mark.usefixtures("add")
def test_ensuring_leaves_the_owner_in_peace(catalog: Catalog) -> None:
    got = claimed(catalog)
    with catalog.write() as change:
        tasks.ensure(change, TaskKind.PLAN, "subject")
    with catalog.write() as change:
        tasks.complete(change, got)


@pytest.mark.usefixtures("add")
def test_a_beat_tells_what_is_no_longer_held(catalog: Catalog) -> None:
    kept = claimed(catalog)
    with catalog.write() as change:
        tasks.ensure(change, TaskKind.PACK, "gone")
        gone = tasks.claim(change, TaskKind.PACK, "gone", 0, "me")
        assert gone is not None
        tasks.cancel_all(change, "gone")
    with catalog.write() as change:
        assert tasks.beat(change, [kept, gone]) == [gone]


@pytest.mark.usefixtures("add")
def test_a_silent_owner_loses_its_task(catalog: Catalog, life: Life) -> None:
    old = claimed(catalog, "silent")
    life.forget_told()
    with catalog.read() as connection:
        seen = tasks.leased(connection)
        before = tasks.leases_lost(connection)
    with catalog.write() as change:
        tasks.take_from(change, seen)
    assert life.woken() == [("plan", "subject", 0)]
    new = claimed(catalog, "next")
    assert (new.fence, new.attempts) == (old.fence + 1, 2)
    with catalog.write() as change:
        tasks.take_from(change, seen)
    with catalog.read() as connection:
        assert tasks.leases_lost(connection) == before + 1, "what is not held can not be lost"


@pytest.mark.usefixtures("add")
def test_an_owner_that_showed_life_keeps_its_task(catalog: Catalog, life: Life) -> None:
    got = claimed(catalog)
    with catalog.read() as connection:
        seen = tasks.leased(connection)
    with catalog.write() as change:
        tasks.beat(change, [got])
    with catalog.write() as change:
        tasks.take_from(change, seen)
    with catalog.write() as change:
        tasks.complete(change, got)
    assert life.task(TaskKind.PLAN, "subject").state == TaskState.DONE


@pytest.mark.usefixtures("add")
def test_only_the_owner_that_was_seen_loses_its_task(catalog: Catalog) -> None:
    old = claimed(catalog, "one")
    with catalog.read() as connection:
        seen = tasks.leased(connection)
    with catalog.write() as change:
        tasks.hand_back(change, old)
    new = claimed(catalog, "other")
    with catalog.write() as change:
        tasks.take_from(change, seen)
    with catalog.write() as change:
        tasks.complete(change, new)


def test_a_small_build_does_not_starve_behind_a_large_one(catalog: Catalog, life: Life) -> None:
    life.building(request(size="large"), LARGE, shards=1000)
    for _ in range(16):
        with catalog.write() as change:
            got = tasks.claim_fair_shard(change, "me")
        assert got is not None and got.subject == LARGE
    life.building(request(size="small"), SMALL, shards=3)
    owners = []
    for _ in range(4):
        with catalog.write() as change:
            got = tasks.claim_fair_shard(change, "me")
        assert got is not None
        owners.append(got.subject)
    assert owners == [SMALL, SMALL, SMALL, LARGE]


def test_builds_of_one_size_take_turns(catalog: Catalog, life: Life) -> None:
    life.building(request(number=1), LARGE, shards=4)
    life.building(request(number=2), SMALL, shards=4)
    taken = []
    for _ in range(8):
        with catalog.write() as change:
            got = tasks.claim_fair_shard(change, "me")
        assert got is not None
        taken.append((got.subject, got.index))
    assert taken == [(key, index) for index in range(4) for key in (LARGE, SMALL)]


def in_turn(catalog: Catalog, count: int) -> list[str]:
    """Claim shards, every other one where the least is left; hand each back at once."""
    taken = []
    for number in range(count):
        with catalog.write() as change:
            got = tasks.claim_fair_shard(change, "me", smallest_first=number % 2 == 1)
            assert got is not None
            tasks.hand_back(change, got)
        taken.append(got.subject)
    return taken


def test_with_fewer_workers_than_builds_a_small_one_has_every_other_turn(
    catalog: Catalog, life: Life
) -> None:
    large = [f"{number:064x}" for number in range(3)]
    for number, key in enumerate(large):
        life.building(request(number=number), key, shards=50)
    life.building(request(size="small"), SMALL, shards=2)
    assert in_turn(catalog, 4) == [large[0], SMALL, large[0], SMALL]


def test_a_build_that_begins_again_waits_its_turn(catalog: Catalog, life: Life) -> None:
    life.ready(request(number=1), LARGE, shards=4)
    life.building(request(number=2), SMALL, shards=4)
    with catalog.write() as change:
        lifecycle.evicted(change, LARGE)
        lifecycle.forget_shards(change, LARGE, [0, 1, 2, 3])
        lifecycle.build_again(change, LARGE)
    with catalog.write() as change:
        got = tasks.claim_fair_shard(change, "me")
    assert got is not None and got.subject == SMALL


def test_a_clock_that_is_wrong_changes_nothing_about_whose_turn_it_is(
    catalog: Catalog, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ahead:
        now = time.time()
        ahead.setattr(time, "time", lambda: now + 3600.0)
        life.building(request(number=1), LARGE, shards=4)
    life.building(request(number=2), SMALL, shards=4)
    with catalog.write() as change:
        got = tasks.claim_fair_shard(change, "me")
    assert got is not None and got.subject == LARGE


def test_builds_can_be_passed_over(catalog: Catalog, life: Life) -> None:
    life.building(request(number=1), LARGE, shards=1)
    life.building(request(number=2), SMALL, shards=1)
    with catalog.write() as change:
        assert tasks.claim_fair_shard(change, "me", [LARGE, SMALL]) is None
        got = tasks.claim_fair_shard(change, "me", [LARGE])
    assert got is not None and got.subject == SMALL


def test_processes_never_share_a_shard(
    catalog: Catalog, catalog_url: str, life: Life, forker: Forker, tmp_path: Path
) -> None:
    life.building(request(), LARGE, shards=60)
    answers = [tmp_path / f"claimed-{number}" for number in range(3)]
    for number, answer in enumerate(answers):
        forker.start("claim_tasks", catalog_url, LARGE, f"owner-{number}", answer)
    indexes = [index for answer in answers for index in told(answer).split(",") if index]
    assert sorted(map(int, indexes)) == list(range(60))
