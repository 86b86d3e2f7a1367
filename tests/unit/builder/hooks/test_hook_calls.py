"""What hooks have to be told is written with the change that it tells of, and nothing else is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from datamill.broker import Delivery
from datamill.events import Reason
from datamill.hook_settings import HookSettings
from datamill_builder.catalog import Catalog, hook_calls, lifecycle
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.schema import datasets
from datamill_builder.catalog.schema import hook_calls as table
from datamill_builder.catalog.states import HookCallState, TaskKind
from datamill_builder.intake import Intake
from datamill_builder.raw import raw_version
from datamill_builder.store import Store
from tests.unit.builder.life import ARCHIVE, KEY, URL, Life, request

TOY = request(repeat=3)
ALIAS = request(repeat=3, prefix="")
FAILURE = Failure(Reason.HANDLER_ERROR, "it broke", retryable=True)

Tell = Callable[..., None]


@pytest.fixture
def tell(catalog: Catalog) -> Iterator[Tell]:
    """Have the catalog tell hooks, given by their settings."""

    def to(**hooks: dict[str, Any]) -> None:
        catalog.tell_hooks(
            [HookSettings(name=n, command=("true",), **given) for n, given in hooks.items()]
        )

    yield to
    catalog.tell_hooks(())


def calls(catalog: Catalog) -> list[Any]:
    with catalog.read() as connection:
        return hook_calls.listed(connection)


def told(catalog: Catalog) -> list[tuple[str, str, str]]:
    return [(row.hook, row.event, row.dataset_id) for row in calls(catalog)]


# --- which ----------------------------------------------------------------------------------------


def test_ready_is_told_once_per_dataset_id(catalog: Catalog, life: Life, tell: Tell) -> None:
    tell(one={}, two={})
    first = life.building(TOY)
    second = life.accept(ALIAS, "m2")
    life.resolve(second)
    for index in range(2):
        life.shard(index)
    assert calls(catalog) == []
    life.pack()
    ids = sorted((first, second))
    assert told(catalog) == [(h, "ready", i) for i in ids for h in ("one", "two")]
    body = json.loads(calls(catalog)[0].body)
    assert body.pop("id").startswith("msg_")
    assert body.pop("time").endswith("Z")
    assert body == {
        "event": "ready",
        "dataset_id": ids[0],
        "content_key": KEY,
        "archive": f"toy_1.0.0_{KEY}.zip",
        "url": f"{URL}/datasets/toy_1.0.0_{KEY}.zip",
        "bytes": 5000,
        "sha256": "a" * 64,
        "records": 8,
        "shards": 2,
        "cached": False,
        "dataset_name": "toy",
        "handler_version": "1.0.0",
        "dataset_config": (TOY if ids[0] == first else ALIAS).dataset_config,
    }


def test_a_hit_tells_nobody(
    catalog: Catalog, life: Life, tell: Tell, store: Store, tmp_path: Path
) -> None:
    tell(one={})
    store.archive_path(ARCHIVE).write_bytes(b"archive")
    (tmp_path / "items.txt").write_text("one\n")
    life.building(TOY, shards=1)
    life.shard(0)
    life.pack(mark=store.archive_mark(ARCHIVE) or "")
    marks = raw_version(catalog, tmp_path, "stat").marks
    with catalog.write() as change:
        change.connection.execute(update(datasets).values(raw_marks=marks))
    assert len(calls(catalog)) == 1
    life.forget_told()
    intake = Intake(catalog, store, lambda: URL, lambda _marks: None)  # type: ignore[arg-type]
    key = "dataset.request.toy"
    intake.handle([Delivery(TOY.encode(), key, f"hit-{n}", False, n) for n in range(3)])
    assert [event["event"] for event in life.told()] == ["accepted", "ready"]
    assert len(calls(catalog)) == 1


def test_one_that_turns_out_to_be_there_is_told(catalog: Catalog, life: Life, tell: Tell) -> None:
    life.ready(TOY)
    tell(one={})
    alias = life.accept(ALIAS, "m2")
    claim = life.claim(TaskKind.RESOLVE, alias)
    with catalog.write() as change:
        recipe = {"dataset_name": "toy", "config": {}, "mode": "sharded"}
        build = lifecycle.resolved(change, claim, KEY, recipe, "{}")
        lifecycle.answer_resolved(change, alias, build, URL)
    assert told(catalog) == [("one", "ready", alias)]
    assert json.loads(calls(catalog)[0].body)["cached"] is True


def test_failures_are_told(catalog: Catalog, life: Life, tell: Tell) -> None:
    tell(one={})
    built = life.building(TOY)
    with catalog.write() as change:
        lifecycle.build_failed(change, KEY, FAILURE)
    other = life.accept(request(repeat=11), "m2")
    claim = life.claim(TaskKind.RESOLVE, other)
    with catalog.write() as change:
        refusal = Failure(Reason.INVALID_CONFIG, "repeat: 11 is not allowed")
        lifecycle.resolve_failed(change, claim, refusal)
    third = life.accept(request(repeat=5), "m3")
    with catalog.write() as change:
        assert lifecycle.cancel(change, third)
    assert told(catalog) == [("one", "failed", i) for i in (built, other, third)]
    reasons = [json.loads(row.body)["reason"] for row in calls(catalog)]
    assert reasons == ["handler_error", "invalid_config", "cancelled"]


def test_who_asks_again_after_a_failure_calls_no_hook(
    catalog: Catalog, life: Life, tell: Tell, store: Store
) -> None:
    tell(one={})
    life.building(TOY)
    with catalog.write() as change:
        lifecycle.build_failed(change, KEY, FAILURE)
    intake = Intake(catalog, store, lambda: URL, lambda _marks: None)  # type: ignore[arg-type]
    same = f"m-{TOY.dataset_id}"
    life.forget_told()
    intake.handle([Delivery(TOY.encode(), "dataset.request.toy", same, True, 1)])
    assert [event["event"] for event in life.told()] == ["failed"]
    assert len(calls(catalog)) == 1


def test_a_refused_message_calls_no_hook(
    catalog: Catalog, life: Life, tell: Tell, store: Store
) -> None:
    tell(one={})
    intake = Intake(catalog, store, lambda: URL, lambda _marks: None)  # type: ignore[arg-type]
    body = b'{"dataset_name":"toy","handler_version":"1","dataset_config":{},"x":1}'
    intake.handle([Delivery(body, "dataset.request.toy", "m", False, 1)])
    assert [event["event"] for event in life.told()] == ["failed"]
    assert calls(catalog) == []


def test_each_hook_is_told_what_it_wants(catalog: Catalog, life: Life, tell: Tell) -> None:
    tell(
        all={"events": ("ready", "failed", "evicted")},
        usual={},
        failures={"events": ("failed",)},
        coco={"dataset_names": ("coco*",)},
        toys={"dataset_names": ("to?", "coco")},
    )
    dataset_id = life.ready(TOY)
    assert [call[0] for call in told(catalog)] == ["all", "usual", "toys"]
    with catalog.write() as change:
        lifecycle.evicted(change, KEY)
    assert told(catalog)[3:] == [("all", "evicted", dataset_id)]


def test_a_change_that_is_not_made_calls_no_hook(catalog: Catalog, life: Life, tell: Tell) -> None:
    tell(one={})
    life.building(TOY)
    with pytest.raises(RuntimeError), catalog.write() as change:
        lifecycle.build_failed(change, KEY, FAILURE)
        raise RuntimeError
    assert calls(catalog) == []


def test_two_hooks_get_the_same_message(catalog: Catalog, life: Life, tell: Tell) -> None:
    tell(one={}, two={})
    life.ready(TOY)
    one, two = calls(catalog)
    assert one.body == two.body


# --- who makes them -------------------------------------------------------------------------------


@pytest.fixture
def call(catalog: Catalog, life: Life, tell: Tell) -> Any:
    """A call that is due."""
    tell(one={})
    life.ready(TOY)
    (row,) = due(catalog)
    return row


def due(catalog: Catalog, hook: str = "one") -> list[Any]:
    with catalog.read() as connection:
        return hook_calls.due(connection, hook)


def claimed(catalog: Catalog, row: Any, lease_secs: float = 60.0) -> hook_calls.HookCall | None:
    with catalog.write() as change:
        return hook_calls.claim(change, row, lease_secs)


def taken(catalog: Catalog, row: Any, lease_secs: float = 60.0) -> hook_calls.HookCall:
    call = claimed(catalog, row, lease_secs)
    assert call is not None
    return call


def only(catalog: Catalog) -> tuple[Any, ...]:
    (row,) = calls(catalog)
    return row.state, row.attempts, row.error


def test_one_of_two_makes_a_call(catalog: Catalog, call: Any) -> None:
    assert claimed(catalog, call) is not None
    assert claimed(catalog, call) is None
    assert due(catalog) == []
    assert due(catalog, "another hook") == []


def test_a_call_whose_caller_is_gone_is_made_by_the_next(catalog: Catalog, call: Any) -> None:
    lost = taken(catalog, call, lease_secs=0.0)
    (again,) = due(catalog)
    second = taken(catalog, again)
    assert (second.attempts, second.body) == (2, lost.body)
    with catalog.write() as change:  # the first was only slow: its word does not count any more
        hook_calls.give_up(change, lost, "late")
        hook_calls.put_off(change, lost, "late", 0.0)
    assert only(catalog) == (HookCallState.PENDING, 2, None)
    with catalog.write() as change:
        hook_calls.called(change, second)
    assert only(catalog) == (HookCallState.DONE, 2, None)
    with catalog.write() as change:
        assert hook_calls.call_again(change, [call.seq]) == 0


def test_put_off_and_given_up_and_made_again(catalog: Catalog, call: Any) -> None:
    first = taken(catalog, call)
    with catalog.write() as change:
        hook_calls.put_off(change, first, "500", 3600.0)
    assert due(catalog) == []
    with catalog.write() as change:
        assert hook_calls.call_again(change, [call.seq]) == 1
    (row,) = due(catalog)
    second = taken(catalog, row)
    with catalog.write() as change:
        hook_calls.give_up(change, second, "410 Gone")
    assert only(catalog) == (HookCallState.GIVEN_UP, 2, "410 Gone")
    assert due(catalog) == []
    with catalog.write() as change:
        assert hook_calls.call_again(change, [call.seq, 999]) == 1
    assert only(catalog)[:2] == (HookCallState.PENDING, 0)
    assert len(due(catalog)) == 1


def test_a_clock_that_was_set_back_delays_none_for_long(catalog: Catalog, call: Any) -> None:
    with catalog.write() as change:
        change.connection.execute(update(table).values(due_at=time.time() + 3 * 24 * 3600))
    assert len(due(catalog)) == 1


def test_calls_of_hooks_that_nobody_knows_are_given_up(catalog: Catalog, call: Any) -> None:
    with catalog.write() as change:
        assert hook_calls.give_up_unknown(change, ["one"], 0.0) == 0
        assert hook_calls.give_up_unknown(change, ["other"], 3600.0) == 0
        assert hook_calls.give_up_unknown(change, ["other"], -1.0) == 1
    state, _, error = only(catalog)
    assert state == HookCallState.GIVEN_UP
    assert "no builder has a hook of this name" in error


def test_what_has_ended_is_forgotten_after_some_time(catalog: Catalog, call: Any) -> None:
    with catalog.write() as change:
        hook_calls.forget_old(change, -1.0)
    assert len(calls(catalog)) == 1, "it waits"
    mine = taken(catalog, call)
    with catalog.write() as change:
        hook_calls.called(change, mine)
        hook_calls.forget_old(change, 3600.0)
    assert len(calls(catalog)) == 1
    with catalog.write() as change:
        hook_calls.forget_old(change, -1.0)
    assert calls(catalog) == []


def test_counts(catalog: Catalog, call: Any) -> None:
    with catalog.read() as connection:
        assert hook_calls.counted(connection) == {("one", "pending"): 1}
