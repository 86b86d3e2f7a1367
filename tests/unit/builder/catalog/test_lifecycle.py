"""The life of a request: each transition, and what it tells to whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from datamill.events import Reason
from datamill_builder.catalog import Catalog, lifecycle, schema, tasks
from datamill_builder.catalog.lifecycle import Failure, PlannedShard, ShardResult
from datamill_builder.catalog.moves import ImpossibleTransition
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind, TaskState
from datamill_builder.catalog.tasks import StaleFence
from tests.unit.builder.life import ARCHIVE, KEY, URL, Life, request, shard_result

REASON = Failure(Reason.HANDLER_ERROR, "it broke", retryable=True)


def names(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["event"], event["dataset_id"]) for event in events]


# --- a request comes in ---


def test_a_new_request_is_accepted_and_its_resolving_is_woken(life: Life) -> None:
    dataset_id = life.accept(request(repeat=2))
    (event,) = life.told()
    assert event["event"] == "accepted"
    assert (event["state"], event["waiting"], event["ahead"]) == ("queued", 1, 0)
    row = life.dataset(dataset_id)
    assert (row.state, row.dataset_name, row.config) == ("resolving", "toy", '{"repeat":2}')
    assert life.pending() == {(TaskKind.RESOLVE, dataset_id, 0)}


def test_a_message_is_logged_once(catalog: Catalog) -> None:
    with catalog.write() as change:
        assert lifecycle.log_requests(change, ["m"], "d" * 64) == 1
        assert lifecycle.log_requests(change, ["m"], "d" * 64) == 0
        assert lifecycle.log_requests(change, ["n", "m", "o", "n"], "d" * 64) == 2
    with catalog.read() as connection:
        logged = connection.execute(select(schema.requests.c.message_id)).scalars()
        assert sorted(logged) == ["m", "n", "o"]


def test_so_many_messages_at_once_that_they_need_several_statements(catalog: Catalog) -> None:
    ids = [f"m{number}" for number in range(2500)]
    with catalog.write() as change:
        assert lifecycle.log_requests(change, ids[:100], "d" * 64) == 100
        assert lifecycle.log_requests(change, ids, "d" * 64) == 2400


def test_builds_that_come_first_are_counted(life: Life) -> None:
    life.building(request(number=1), "1" * 64)
    life.ready(request(number=2), "2" * 64)
    life.forget_told()
    life.accept(request(number=3), "m3")
    assert life.told()[-1]["ahead"] == 1, "a finished build is not in the way"


# --- resolving ---


def test_a_new_content_key_is_planned(life: Life) -> None:
    dataset_id = life.accept(request())
    build = life.resolve(dataset_id)
    assert build.state == BuildState.PLANNING
    row = life.dataset(dataset_id)
    assert (row.state, row.content_key) == (DatasetState.RESOLVED, KEY)
    assert life.pending() == {(TaskKind.PLAN, KEY, 0)}


def test_a_content_key_is_built_once_whoever_asks(life: Life) -> None:
    first = life.building(request(), shards=2)
    second = life.accept(request(repeat=1), "m2")
    life.forget_told()
    build = life.resolve(second)
    assert build.state == BuildState.BUILDING
    assert names(life.told()) == [("planned", second)], "the late one is told what is built"
    assert life.pending() == {(TaskKind.SHARD, KEY, 0), (TaskKind.SHARD, KEY, 1)}
    with life.catalog.read() as connection:
        assert lifecycle.aliases(connection, KEY) == sorted([first, second])


def test_a_request_that_can_not_be_met_fails_with_its_reason(life: Life) -> None:
    dataset_id = life.accept(request())
    claim = life.claim(TaskKind.RESOLVE, dataset_id)
    life.forget_told()
    with life.catalog.write() as change:
        lifecycle.resolve_failed(change, claim, Failure(Reason.INVALID_CONFIG, "no such option"))
    (event,) = life.told()
    assert (event["event"], event["reason"]) == ("failed", "invalid_config")
    assert (event["message"], event["retryable"]) == ("no such option", False)
    row = life.dataset(dataset_id)
    assert (row.state, row.waiting) == (DatasetState.FAILED, 0)
    assert life.pending() == set()


def test_words_that_no_database_takes_are_told_all_the_same(life: Life) -> None:
    dataset_id = life.accept(request())
    claim = life.claim(TaskKind.RESOLVE, dataset_id)
    life.forget_told()
    with life.catalog.write() as change:
        failure = Failure(Reason.HANDLER_ERROR, "no file caf\udce9\0.jpg")
        lifecycle.resolve_failed(change, claim, failure)
    (event,) = life.told()
    assert event["message"] == "no file caf\\udce9\\0.jpg"


def test_failed_and_asked_for_again(life: Life) -> None:
    dataset_id = life.accept(request())
    claim = life.claim(TaskKind.RESOLVE, dataset_id)
    with life.catalog.write() as change:
        lifecycle.resolve_failed(change, claim, REASON)
    with life.catalog.write() as change:
        lifecycle.resolve_again(change, dataset_id)
    row = life.dataset(dataset_id)
    assert (row.state, row.reason, row.message) == (DatasetState.RESOLVING, None, None)
    assert life.claim(TaskKind.RESOLVE, dataset_id).attempts == 1


def test_a_stale_resolver_changes_nothing(life: Life) -> None:
    dataset_id = life.accept(request())
    claim = life.claim(TaskKind.RESOLVE, dataset_id)
    with life.catalog.write() as change:
        lifecycle.cancel(change, dataset_id)
    life.forget_told()
    with pytest.raises(StaleFence), life.catalog.write() as change:
        lifecycle.resolved(change, claim, KEY, {"dataset_name": "toy"}, "{}")
    with life.catalog.read() as connection:
        assert lifecycle.find_build(connection, KEY) is None
    assert life.told() == []


# --- planning, shards, packing ---


def test_a_plan_makes_shards_and_tells_all_aliases(life: Life) -> None:
    ids = [life.accept(request(n=n), f"m{n}") for n in range(2)]
    for dataset_id in ids:
        life.resolve(dataset_id)
    life.forget_told()
    life.plan(3)
    events = life.told()
    assert sorted(names(events)) == sorted(("planned", dataset_id) for dataset_id in ids)
    assert (events[0]["shards"], events[0]["records"], events[0]["content_key"]) == (3, 12, KEY)
    assert life.build().state == BuildState.BUILDING
    assert [shard.plan_offset for shard in life.shards()] == [0, 10, 20]
    assert len(life.pending()) == 3


def test_planning_wakes_somebody_for_each_shard(life: Life) -> None:
    life.resolve(life.accept(request()))
    life.forget_told()
    life.plan(3)
    assert life.woken() == [("shard", KEY, 0), ("shard", KEY, 1), ("shard", KEY, 2)]


def test_a_finished_shard_can_be_fetched_at_once_by_all_aliases(life: Life) -> None:
    first = life.building(request(), shards=2)
    second = life.accept(request(repeat=1), "m2")
    life.resolve(second)
    life.forget_told()
    life.shard(1)
    events = life.told()
    assert sorted(names(events)) == sorted([("shard", first), ("shard", second)])
    for event in events:
        assert event["url"] == f"{URL}/datasets/{event['dataset_id']}/shards/1"
        assert (event["index"], event["shards"], event["split"]) == (1, 2, "train")
        assert (event["bytes"], event["sha256"], event["records"]) == (100, f"{1:064x}", 4)
    assert life.build().state == BuildState.BUILDING


def test_the_last_shard_whichever_it_is_begins_the_packing(life: Life) -> None:
    life.building(request(), shards=3)
    for index in (2, 0):
        life.shard(index)
        assert life.build().state == BuildState.BUILDING
    life.shard(1)
    assert life.build().state == BuildState.PACKING
    assert life.pending() == {(TaskKind.PACK, KEY, 0)}


def test_a_packed_archive_is_told_to_all_who_asked(life: Life) -> None:
    first = life.building(request(), shards=2)
    second = life.accept(request(repeat=1), "m2")
    life.resolve(second)
    life.shard(0)
    life.shard(1)
    life.forget_told()
    life.pack()
    events = life.told()
    assert sorted(names(events)) == sorted([("ready", first), ("ready", second)])
    assert events[0]["url"] == f"{URL}/datasets/{ARCHIVE}"
    assert (events[0]["records"], events[0]["shards"], events[0]["cached"]) == (8, 2, False)
    assert life.build().state == BuildState.READY
    assert [life.dataset(dataset_id).waiting for dataset_id in (first, second)] == [0, 0]
    assert [(shard.archive_offset, shard.file) for shard in life.shards()] == [
        (1000, None),
        (1001, None),
    ]


def test_a_stale_packer_publishes_nothing(life: Life) -> None:
    dataset_id = life.building(request(), shards=1)
    life.shard(0)
    claim = life.claim(TaskKind.PACK, KEY)
    with life.catalog.write() as change:
        assert lifecycle.cancel(change, dataset_id)
    life.forget_told()
    archive = lifecycle.ArchiveResult(ARCHIVE, 1, "a" * 64, "mark", [0])
    with pytest.raises(StaleFence), life.catalog.write() as change:
        lifecycle.pack_done(change, claim, archive, 4, URL)
    assert life.build().state == BuildState.CANCELLED
    assert life.told() == []


def test_damage_sends_only_the_damaged_shards_back(life: Life) -> None:
    life.building(request(), shards=3)
    for index in range(3):
        life.shard(index)
    claim = life.claim(TaskKind.PACK, KEY)
    with life.catalog.write() as change:
        lifecycle.pack_found_damage(change, claim, [1])
    assert life.build().state == BuildState.BUILDING
    assert life.pending() == {(TaskKind.SHARD, KEY, 1)}
    assert [shard.sha256 is None for shard in life.shards()] == [False, True, False]
    life.shard(1)
    life.pack()
    assert life.build().state == BuildState.READY


# --- ends, and going on ---


def test_a_failed_build_is_told_to_all_and_its_work_stops(life: Life) -> None:
    first = life.building(request(), shards=3)
    second = life.accept(request(repeat=1), "m2")
    life.resolve(second)
    running = life.claim(TaskKind.SHARD, KEY, 1)
    life.forget_told()
    with life.catalog.write() as change:
        lifecycle.build_failed(change, KEY, REASON)
    events = life.told()
    assert sorted(names(events)) == sorted([("failed", first), ("failed", second)])
    assert {event["message"] for event in events} == {"it broke"}
    assert life.build().state == BuildState.FAILED
    assert life.pending() == set()
    with pytest.raises(StaleFence), life.catalog.write() as change:
        lifecycle.shard_done(change, running, shard_result(1), URL)


@pytest.mark.parametrize("end", ["ready", "cancelled", "failed"])
def test_a_build_that_has_ended_does_not_fail_any_more(life: Life, end: str) -> None:
    if end == "ready":
        life.ready(request())
    else:
        dataset_id = life.building(request())
        with life.catalog.write() as change:
            if end == "failed":
                lifecycle.build_failed(change, KEY, REASON)
            else:
                lifecycle.cancel(change, dataset_id)
    life.forget_told()
    with life.catalog.write() as change:
        lifecycle.build_failed(change, KEY, Failure(Reason.INTERNAL, "late"))
    assert life.build().state == end
    assert life.told() == [], "those who waited have their answer"


def test_cancelling_stops_all_and_says_so(life: Life) -> None:
    dataset_id = life.building(request(), shards=2)
    life.shard(0)
    life.forget_told()
    with life.catalog.write() as change:
        assert lifecycle.cancel(change, dataset_id)
    (event,) = life.told()
    assert (event["reason"], event["retryable"]) == ("cancelled", True)
    assert life.build().state == BuildState.CANCELLED
    assert life.task(TaskKind.SHARD, KEY, 1).state == TaskState.CANCELLED
    assert life.task(TaskKind.SHARD, KEY, 0).state == TaskState.DONE
    with life.catalog.write() as change:
        assert not lifecycle.cancel(change, dataset_id), "there is nothing to stop"


def test_cancelling_what_is_not_resolved_yet(life: Life) -> None:
    dataset_id = life.accept(request())
    claim = life.claim(TaskKind.RESOLVE, dataset_id)
    life.forget_told()
    with life.catalog.write() as change:
        assert lifecycle.cancel(change, dataset_id)
    (event,) = life.told()
    assert event["reason"] == "cancelled"
    with life.catalog.write() as change:
        assert tasks.beat(change, [claim]) == [claim]


def test_nothing_is_cancelled_that_is_not_being_built(life: Life) -> None:
    ready = life.ready(request())
    with life.catalog.write() as change:
        assert not lifecycle.cancel(change, ready)
        assert not lifecycle.cancel(change, "f" * 64)


def test_a_restart_keeps_finished_shards(life: Life) -> None:
    life.building(request(), shards=4)
    life.shard(0)
    life.shard(2)
    with life.catalog.write() as change:
        lifecycle.build_failed(change, KEY, REASON)
    life.forget_told()
    with life.catalog.write() as change:
        lifecycle.build_again(change, KEY)
    build = life.build()
    assert (build.state, build.epoch, build.reason) == (BuildState.BUILDING, 2, None)
    assert life.pending() == {(TaskKind.SHARD, KEY, 1), (TaskKind.SHARD, KEY, 3)}
    assert [event["event"] for event in life.told()] == ["planned"]
    life.shard(1)
    life.shard(3)
    assert life.build().state == BuildState.PACKING


def test_a_restart_with_all_shards_there_only_packs(life: Life) -> None:
    life.building(request(), shards=1)
    life.shard(0)
    claim = life.claim(TaskKind.PACK, KEY)
    with life.catalog.write() as change:
        tasks.fail(change, claim, "no space")
        lifecycle.build_failed(change, KEY, REASON)
    with life.catalog.write() as change:
        lifecycle.build_again(change, KEY)
    assert life.pending() == {(TaskKind.PACK, KEY, 0)}


def test_a_restart_before_there_was_a_plan_plans(life: Life) -> None:
    life.resolve(life.accept(request()))
    claim = life.claim(TaskKind.PLAN, KEY)
    with life.catalog.write() as change:
        tasks.fail(change, claim, "no")
        lifecycle.build_failed(change, KEY, REASON)
    with life.catalog.write() as change:
        lifecycle.build_again(change, KEY)
    assert life.build().state == BuildState.PLANNING
    assert life.pending() == {(TaskKind.PLAN, KEY, 0)}


def test_an_evicted_build_makes_its_shards_again(life: Life) -> None:
    dataset_id = life.ready(request(), shards=2)
    life.forget_told()
    with life.catalog.write() as change:
        lifecycle.evicted(change, KEY)
    (event,) = life.told()
    assert names([event]) == [("evicted", dataset_id)]
    with life.catalog.write() as change:
        lifecycle.forget_shards(change, KEY, [0, 1])
        lifecycle.build_again(change, KEY)
    assert life.pending() == {(TaskKind.SHARD, KEY, 0), (TaskKind.SHARD, KEY, 1)}


def test_what_was_claimed_in_an_older_epoch_changes_nothing(life: Life) -> None:
    life.building(request(), shards=2)
    claim = replace(life.claim(TaskKind.SHARD, KEY, 0), epoch=0)
    life.forget_told()
    with pytest.raises(StaleFence), life.catalog.write() as change:
        lifecycle.shard_done(change, claim, shard_result(0), URL)
    assert [shard.sha256 for shard in life.shards()] == [None, None]
    assert life.told() == []


def test_cancelled_asked_again_and_then_the_first_owner_is_done(life: Life) -> None:
    dataset_id = life.building(request(), shards=1)
    life.shard(0)
    old = life.claim(TaskKind.PACK, KEY, owner="paused")
    with life.catalog.write() as change:
        assert lifecycle.cancel(change, dataset_id)
    with life.catalog.write() as change:
        lifecycle.build_again(change, KEY)
    new = life.claim(TaskKind.PACK, KEY, owner="next")
    assert (new.epoch, new.fence) == (2, old.fence + 2)
    life.forget_told()
    archive = lifecycle.ArchiveResult("old.zip", 1, "a" * 64, "mark", [0])
    with pytest.raises(StaleFence), life.catalog.write() as change:
        lifecycle.pack_done(change, old, archive, 4, URL)
    assert (life.build().state, life.build().archive) == (BuildState.PACKING, None)
    assert life.told() == []


@pytest.mark.parametrize("end", ["evicted", "built again"])
def test_only_the_archive_that_was_looked_at_is_marked(life: Life, end: str) -> None:
    life.ready(request())
    seen = life.build()
    with life.catalog.write() as change:
        if end == "evicted":
            lifecycle.evicted(change, KEY)
        else:
            lifecycle.forget_shards(change, KEY, [0, 1])
            lifecycle.build_again(change, KEY)
    if end == "built again":
        life.shard(0)
        life.shard(1)
        life.pack(mark="new")
    before = life.build().archive_mark
    with life.catalog.write() as change:
        lifecycle.mark_archive(change, seen, "of the old file")
    assert life.build().archive_mark == before


@pytest.mark.parametrize("step", [lifecycle.evicted, lifecycle.build_again])
def test_a_move_from_where_a_build_is_not_is_a_bug(
    life: Life, step: Callable[[Any, str], None]
) -> None:
    life.building(request())
    life.forget_told()
    with pytest.raises(ImpossibleTransition), life.catalog.write() as change:
        step(change, KEY)
    assert (life.build().state, life.build().epoch) == (BuildState.BUILDING, 1)
    assert life.told() == []


def test_each_move_is_one_line_of_the_log_once_it_is_committed(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    life.resolve(life.accept(request()))
    claim = life.claim(TaskKind.PLAN, KEY)
    caplog.set_level("DEBUG", "datamill_builder.catalog.engine")
    planned = [PlannedShard("train", 0, 10)]
    with pytest.raises(ZeroDivisionError), life.catalog.write() as change:
        lifecycle.plan_done(change, claim, None, 4, 4, planned)
        raise ZeroDivisionError
    assert caplog.messages == []
    with life.catalog.write() as change:
        lifecycle.plan_done(change, claim, None, 4, 4, planned)
    assert caplog.messages == [
        f"tasks plan {KEY[:12]} 0: leased → done",
        f"builds {KEY[:12]}: planning → building",
    ]


# --- handlers that can't be cut into shards ---


def classic(life: Life) -> str:
    dataset_id = life.accept(request())
    life.resolve(dataset_id, mode="classic")
    claim = life.claim(TaskKind.PLAN, KEY)
    with life.catalog.write() as change:
        lifecycle.plan_done(change, claim, None, 0, 0, [PlannedShard("train", 0, 0)])
    return dataset_id


def classic_files(life: Life, results: list[ShardResult]) -> None:
    claim = life.claim(TaskKind.SHARD, KEY)
    with life.catalog.write() as change:
        lifecycle.classic_done(change, claim, results, {"pythonClassName": "x"}, URL)


def test_each_file_of_a_classic_handler_becomes_a_shard(life: Life) -> None:
    classic(life)
    life.forget_told()
    classic_files(life, [shard_result(n) for n in range(3)])
    assert sorted(event["index"] for event in life.told()) == [0, 1, 2]
    build = life.build()
    assert (build.state, build.shards, build.records_estimate) == (BuildState.PACKING, 3, 12)
    assert json.loads(build.features)["features"] == {"pythonClassName": "x"}


def test_damage_in_any_file_of_a_classic_handler_makes_all_again(life: Life) -> None:
    classic(life)
    classic_files(life, [shard_result(n) for n in range(3)])
    claim = life.claim(TaskKind.PACK, KEY)
    with life.catalog.write() as change:
        lifecycle.pack_found_damage(change, claim, [2])
    assert life.pending() == {(TaskKind.SHARD, KEY, 0)}
    classic_files(life, [shard_result(n, fence=2) for n in range(2)])
    assert [shard.file for shard in life.shards()] == ["00000-2.tfrecord", "00001-2.tfrecord"]
    assert life.build().state == BuildState.PACKING
