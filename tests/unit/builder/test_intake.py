"""Intake: what comes in is in the catalog or refused, and one bad message stops nobody else."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from datamill.broker import Delivery
from datamill.events import Reason
from datamill.trace_context import TraceContext
from datamill_builder.catalog import Catalog, CatalogUnavailable, lifecycle, views
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.outbox import unsent
from datamill_builder.catalog.schema import builds, datasets, requests
from datamill_builder.catalog.states import DatasetState, TaskKind
from datamill_builder.intake import Intake
from datamill_builder.raw import raw_version
from datamill_builder.store import Store
from tests.unit.builder.life import ARCHIVE, KEY, URL, Life, request

GOOD = request(repeat=3)

TOY = b'{"dataset_name":"toy","handler_version":"1","dataset_config":'

POISON = {
    "empty": b"",
    "invalid UTF-8": b'{"dataset_name": "\xff"}',
    "no JSON": b"hello",
    "NaN": TOY + b'{"a":NaN}}',
    "Infinity": TOY + b'{"a":-Infinity}}',
    "a key twice": TOY + b'{},"dataset_name":"toy"}',
    "100,000 brackets": b"[" * 100_000,
    "deep config": TOY + b"" + b'{"a":' * 700 + b"1" + b"}" * 701,
    "5,000 digits": TOY + b'{"a":' + b"9" * 5000 + b"}}",
    "2**53": TOY + b'{"a":9007199254740992}}',
    "lone surrogate": TOY + rb'{"a":"\ud800"}}',
    "surrogate field": TOY + rb'{},"\udfff":1}',
    "NUL in a field": TOY + rb'{},"a\u0000":1}',
    "NUL in the name": rb'{"dataset_name":"toy\u0000","handler_version":"1","dataset_config":{}}',
    "a list": b"[]",
    "null": b"null",
    "a number": b"17",
    "unknown field": TOY + b'{},"shell":"rm"}',
    "missing field": b'{"dataset_name":"toy","handler_version":"1"}',
    "path as version": b'{"dataset_name":"toy","handler_version":"../../x","dataset_config":{}}',
    "command as version": b'{"dataset_name":"a","handler_version":"; rm -rf","dataset_config":{}}',
    "long name": b'{"dataset_name":"'
    + b"a" * 300
    + b'","handler_version":"1","dataset_config":{}}',
    "large config": TOY + b'{"a":"' + b"x" * 70_000 + b'"}}',
    "17 MiB": b" " * (17 * 1024 * 1024),
}


@pytest.fixture
def intake(catalog: Catalog, store: Store) -> Intake:
    return Intake(catalog, store, lambda: URL, lambda _marks: None)  # type: ignore[arg-type]


def delivery(body: bytes, message_id: Any = "m", tag: int = 1, headers: Any = None) -> Delivery:
    return Delivery(body, "dataset.request.toy", message_id, False, tag, headers=headers)


def count(catalog: Catalog, table: Any) -> int:
    with catalog.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_a_request_is_in_the_catalog_when_it_is_acknowledged(
    intake: Intake, catalog: Catalog, life: Life
) -> None:
    assert intake.handle([delivery(GOOD.encode())]) == [True]
    assert life.dataset(GOOD.dataset_id).state == DatasetState.RESOLVING
    assert life.pending() == {(TaskKind.RESOLVE, GOOD.dataset_id, 0)}
    assert [event["event"] for event in life.told()] == ["accepted"]


@pytest.mark.parametrize("body", POISON.values(), ids=POISON.keys())
def test_poison_is_refused_and_its_neighbours_are_taken(
    intake: Intake, life: Life, body: bytes
) -> None:
    before, after = request(number=1), request(number=2)
    batch = [
        delivery(before.encode(), "m1", 1),
        delivery(body, "m2", 2),
        delivery(after.encode(), "m3", 3),
    ]
    assert intake.handle(batch) == [True, False, True]
    assert {subject for _, subject, _ in life.pending()} == {before.dataset_id, after.dataset_id}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"extra": 1}, "extra is not a field"),
        ({"handler_version": "../../x"}, "handler_version"),
        ({"dataset_config": [1]}, "dataset_config"),
        ({"dataset_name": 5}, "dataset_name"),
        ({"dataset_config": {"a": "x" * 70_000}}, "65536"),
    ],
)
def test_the_sender_is_told_what_is_wrong_where_the_id_can_be_told(
    intake: Intake, life: Life, fields: dict[str, Any], words: str
) -> None:
    sent = {"dataset_name": "toy", "handler_version": "1", "dataset_config": {}, **fields}
    three = {name: sent[name] for name in ("dataset_name", "handler_version", "dataset_config")}
    waited_for = hashlib.sha256(rfc8785.dumps(three)).hexdigest()
    assert intake.handle([delivery(json.dumps(sent).encode())]) == [False]
    (event,) = life.told()
    assert (event["event"], event["dataset_id"]) == ("failed", waited_for)
    assert (event["reason"], event["retryable"]) == ("invalid_request", False)
    assert words in event["message"] and "\n" not in event["message"]


def test_nobody_is_told_where_the_id_can_not_be_told(intake: Intake, life: Life) -> None:
    intake.handle([delivery(b"{}"), delivery(b"junk"), delivery(POISON["lone surrogate"])])
    assert life.told() == []


def test_a_bad_request_does_not_fail_those_who_asked_rightly(intake: Intake, life: Life) -> None:
    bad = json.dumps({**GOOD.model_dump(), "extra": 1}).encode()
    assert intake.handle([delivery(bad, "bad"), delivery(GOOD.encode(), "good")]) == [False, True]
    assert intake.handle([delivery(bad, "bad 2")]) == [False]
    assert "failed" not in [event["event"] for event in life.told()]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=40)
    | st.builds(
        lambda d: json.dumps(d).encode(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["dataset_name", "handler_version", "dataset_config", "x", "\udc80"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=6,
        ),
    )
)
def test_no_message_whatever_stops_intake(intake: Intake, body: bytes) -> None:
    assert intake.handle([delivery(body), delivery(GOOD.encode())])[1] is True


def test_a_repeated_message_is_answered_but_counted_once(
    intake: Intake, catalog: Catalog, life: Life
) -> None:
    for _ in range(3):
        intake.handle([delivery(GOOD.encode(), "same")])
    assert [event["waiting"] for event in life.told()] == [1, 1, 1]
    assert count(catalog, requests) == 1
    intake.handle([delivery(GOOD.encode(), "other")])
    assert life.told()[-1]["waiting"] == 2


def test_a_batch_of_the_same_is_one_build_and_one_answer(
    intake: Intake, catalog: Catalog, life: Life
) -> None:
    batch = [delivery(GOOD.encode(), f"m{n}", n) for n in range(100)]
    assert intake.handle(batch) == [True] * 100
    (event,) = life.told()
    assert event["waiting"] == 100
    assert (count(catalog, requests), count(catalog, datasets)) == (100, 1)


@pytest.mark.parametrize("message_id", [None, "", b"\xff\xfe", "with \0 in it"])
def test_a_message_id_that_is_none_is_no_reason_to_refuse(
    intake: Intake, catalog: Catalog, message_id: Any
) -> None:
    assert intake.handle([delivery(GOOD.encode(), message_id)]) == [True]
    with catalog.read() as connection:
        (kept,) = connection.scalars(select(requests.c.message_id))
    assert kept.startswith("anonymous-")


def test_every_message_without_an_id_counts(intake: Intake, catalog: Catalog, life: Life) -> None:
    for _ in range(2):
        intake.handle([delivery(GOOD.encode(), None, number) for number in range(3)])
    assert count(catalog, requests) == 6
    assert [event["waiting"] for event in life.told()] == [3, 6]


# --- asking for what is known ---


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw" / "toy"
    folder.mkdir(parents=True)
    (folder / "items.txt").write_text("one\n")
    return folder


@pytest.fixture
def ready(life: Life, store: Store, catalog: Catalog, raw: Path) -> Path:
    """A finished dataset; its archive."""
    archive = store.archive_path(ARCHIVE)
    archive.write_bytes(b"archive")
    dataset_id = life.building(GOOD, shards=1)
    life.shard(0)
    mark = store.archive_mark(ARCHIVE)
    assert mark is not None
    life.pack(mark=mark)
    marks = raw_version(catalog, raw, "stat").marks
    with catalog.write() as change:
        change.connection.execute(
            update(datasets).where(datasets.c.dataset_id == dataset_id).values(raw_marks=marks)
        )
    life.forget_told()
    return archive


@pytest.mark.usefixtures("ready")
def test_a_hit_is_answered_at_once(intake: Intake, life: Life) -> None:
    assert intake.handle([delivery(GOOD.encode(), "again")]) == [True]
    accepted, answer = life.told()
    assert (accepted["event"], accepted["state"]) == ("accepted", "ready")
    assert (answer["event"], answer["cached"]) == ("ready", True)
    assert answer["url"] == f"{URL}/datasets/{ARCHIVE}"
    assert life.pending() == set()


def gone(archive: Path, _raw: Path) -> None:
    archive.unlink()


def replaced(archive: Path, _raw: Path) -> None:
    archive.write_bytes(b"another archive")


def touched(archive: Path, _raw: Path) -> None:
    archive.with_name("copy").write_bytes(b"archive")
    archive.with_name("copy").replace(archive)


def raw_added(_archive: Path, raw: Path) -> None:
    (raw / "more.txt").write_text("two\n")


def raw_gone(_archive: Path, raw: Path) -> None:
    (raw / "items.txt").unlink()
    raw.rmdir()


@pytest.mark.parametrize("change", [gone, replaced, touched, raw_added, raw_gone])
def test_a_hit_is_looked_at_before_it_is_repeated(
    intake: Intake, life: Life, ready: Path, raw: Path, change: Callable[[Path, Path], None]
) -> None:
    change(ready, raw)
    intake.handle([delivery(GOOD.encode(), "again")])
    assert [event["event"] for event in life.told()] == ["accepted"]
    assert life.pending() == {(TaskKind.RESOLVE, GOOD.dataset_id, 0)}


def test_who_asks_while_it_is_built_waits_with_the_others(intake: Intake, life: Life) -> None:
    life.building(GOOD)
    before = life.pending()
    life.forget_told()
    intake.handle([delivery(GOOD.encode(), "late")])
    accepted, planned = life.told()
    assert (accepted["state"], accepted["waiting"]) == ("building", 2)
    assert planned["event"] == "planned"
    assert life.pending() == before


def failed_build(life: Life, ago_secs: float) -> None:
    life.building(GOOD)
    with life.catalog.write() as change:
        lifecycle.build_failed(change, KEY, Failure(Reason.TIMEOUT, "too slow", True))
        change.connection.execute(update(builds).values(ended_at=time.time() - ago_secs))
    life.forget_told()


def test_failed_and_asked_again_is_tried_again(intake: Intake, life: Life) -> None:
    failed_build(life, ago_secs=60)
    intake.handle([delivery(GOOD.encode(), "new")])
    assert [event["event"] for event in life.told()] == ["accepted"]
    assert life.dataset(GOOD.dataset_id).state == DatasetState.RESOLVING


def test_who_still_waits_hears_of_the_failure(intake: Intake, life: Life) -> None:
    failed_build(life, ago_secs=60)
    intake.handle([delivery(GOOD.encode(), f"m-{GOOD.dataset_id}")])
    (event,) = life.told()
    assert (event["event"], event["reason"], event["message"]) == ("failed", "timeout", "too slow")
    assert event["retryable"] is True
    assert life.pending() == set(), "the same request does not begin anew"


def test_requests_for_the_same_try_get_its_answer(intake: Intake, life: Life) -> None:
    failed_build(life, ago_secs=0)
    intake.handle([delivery(GOOD.encode(), "a moment late")])
    (event,) = life.told()
    assert event["event"] == "failed"


def test_a_failed_resolution_asked_again_is_tried_again(intake: Intake, life: Life) -> None:
    life.accept(GOOD)
    claim = life.claim(TaskKind.RESOLVE, GOOD.dataset_id)
    with life.catalog.write() as change:
        lifecycle.resolve_failed(change, claim, Failure(Reason.UNKNOWN_HANDLER, "no such version"))
        change.connection.execute(update(datasets).values(failed_at=time.time() - 60))
    intake.handle([delivery(GOOD.encode(), "new")])
    assert life.pending() == {(TaskKind.RESOLVE, GOOD.dataset_id, 0)}


def test_an_evicted_dataset_is_built_again(intake: Intake, life: Life) -> None:
    life.ready(GOOD)
    with life.catalog.write() as change:
        lifecycle.evicted(change, KEY)
    intake.handle([delivery(GOOD.encode(), "again")])
    assert (TaskKind.RESOLVE, GOOD.dataset_id, 0) in life.pending()


def test_a_bad_request_does_not_fail_who_asks_once_more_and_waits(
    intake: Intake, life: Life
) -> None:
    life.ready(GOOD)
    with life.catalog.write() as change:
        lifecycle.evicted(change, KEY)
    # The same message as at first: nobody is counted once more, but somebody waits.
    intake.handle([delivery(GOOD.encode(), f"m-{GOOD.dataset_id}")])
    life.forget_told()
    bad = json.dumps({**GOOD.model_dump(), "extra": 1}).encode()
    assert intake.handle([delivery(bad, "bad")]) == [False]
    assert life.told() == []


# --- what is counted, and what is passed on -------------------------------------------------------


def counting(catalog: Catalog, store: Store) -> tuple[Intake, Counters]:
    count = Counters()
    address: Any = lambda: URL  # noqa: E731
    return Intake(catalog, store, address, lambda _marks: None, count), count


def outcomes(count: Counters) -> dict[str, float]:
    taken = count.totals()
    return {dict(labels)["outcome"]: n for (_, labels), n in taken.items() if n}


def test_each_request_is_counted_once_by_what_became_of_it(catalog: Catalog, store: Store) -> None:
    intake, count = counting(catalog, store)
    intake.handle([delivery(GOOD.encode(), f"m{n}", n) for n in range(3)])
    assert outcomes(count) == {"new": 1, "merged": 2}
    intake.handle([delivery(GOOD.encode(), "m1"), delivery(GOOD.encode(), "m9", 2)])
    assert outcomes(count) == {"new": 1, "merged": 3, "repeated": 1}
    intake.handle([delivery(b"hello")])
    assert outcomes(count) == {"new": 1, "merged": 3, "repeated": 1, "refused": 1}


def test_hits_failures_and_builds_once_more_are_told_apart(
    catalog: Catalog, store: Store, life: Life
) -> None:
    ready, failed = request(number=1), request(number=2)
    life.ready(ready)
    life.accept(failed, "f")
    claim = life.claim(TaskKind.RESOLVE, failed.dataset_id)
    with catalog.write() as change:
        lifecycle.resolve_failed(change, claim, Failure(Reason.INVALID_CONFIG, "no"))
    intake, count = counting(catalog, store)
    intake.handle([delivery(failed.encode(), "at the same moment")])
    assert outcomes(count) == {"failed": 1}
    intake.handle([delivery(ready.encode(), "its archive is gone")])
    assert outcomes(count) == {"failed": 1, "again": 1}


def test_a_batch_that_could_not_be_written_is_not_counted(catalog: Catalog, store: Store) -> None:
    intake, count = counting(catalog, store)
    intake._catalog = Away()  # type: ignore[assignment]
    with pytest.raises(CatalogUnavailable):
        intake.handle([delivery(GOOD.encode())])
    assert outcomes(count) == {}


class Away:
    def write(self) -> Any:
        raise CatalogUnavailable("away")


TRACE = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=value")
LATER = TraceContext("00-" + "a" * 32 + "-00f067aa0ba902b7-01")


def test_the_trace_of_who_asked_first_is_kept_and_goes_with_all_messages(
    intake: Intake, catalog: Catalog, life: Life
) -> None:
    untraced = request(number=9)
    batch = [
        replace(delivery(GOOD.encode(), "m1"), trace=TRACE),
        replace(delivery(GOOD.encode(), "m2", 2), trace=LATER),
        delivery(untraced.encode(), "m3", 3),
    ]
    intake.handle(batch)
    assert life.dataset(GOOD.dataset_id).trace == TRACE.encode()
    assert life.dataset(untraced.dataset_id).trace is None
    with catalog.read() as connection:
        messages = unsent(connection)
    ours = [m.headers for m in messages if GOOD.dataset_id.encode() in m.body]
    assert ours == [TRACE.headers()] * 2, "a ticket and an event"
    assert not any(m.headers for m in messages if untraced.dataset_id.encode() in m.body)


def test_who_joins_a_build_gets_its_own_trace_back(intake: Intake, life: Life) -> None:
    other = request(number=7)
    intake.handle([replace(delivery(GOOD.encode(), "m1"), trace=TRACE)])
    intake.handle([replace(delivery(other.encode(), "m2"), trace=LATER)])
    intake.handle([delivery(request(number=8).encode(), "m3")])
    for asked in (GOOD, other, request(number=8)):
        life.resolve(asked.dataset_id)
    life.plan(1)
    life.shard(0)
    life.pack()
    with life.catalog.read() as connection:
        told = {m.routing_key: m.headers for m in unsent(connection)}
    assert told[f"dataset.ready.{GOOD.dataset_id}"] == TRACE.headers()
    assert told[f"dataset.ready.{other.dataset_id}"] == LATER.headers()
    assert told[f"dataset.ready.{request(number=8).dataset_id}"] is None


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({"datamill-client": "ada@gpu7", "other": 1}, "ada@gpu7"),
        ({"datamill-client": "a\nb\0c"}, "abc"),
        ({"datamill-client": "x" * 300}, "x" * 128),
        ({"datamill-client": 17}, None),
        ({"datamill-client": [b"\xff"]}, None),
        ({"datamill-client": ""}, None),
        ({}, None),
        (None, None),
        ("no table", None),
    ],
)
def test_who_asked_is_kept_where_it_is_said_in_words(
    intake: Intake, catalog: Catalog, headers: Any, client: str | None
) -> None:
    assert intake.handle([delivery(GOOD.encode(), headers=headers)]) == [True]
    with catalog.read() as connection:
        assert connection.scalars(select(requests.c.client)).all() == [client]


def test_who_waits_is_named_once_and_the_last_one_first(
    intake: Intake, catalog: Catalog, life: Life
) -> None:
    def asks(message_id: str, client: str | None) -> Delivery:
        headers = {"datamill-client": client} if client else None
        return delivery(GOOD.encode(), message_id, headers=headers)

    def waiting() -> list[str]:
        with catalog.read() as connection:
            return views.waiting_clients(connection, life.dataset(GOOD.dataset_id))

    intake.handle([asks("m1", "ada"), asks("m2", "bob"), asks("m3", None), asks("m4", "ada")])
    assert waiting() == ["ada", "bob"]
    intake.handle([asks("m2", "bob")])  # the same request once more
    assert waiting() == ["ada", "bob"]
    intake.handle([asks(f"n{number}", f"trainer {number}") for number in range(25)])
    assert waiting() == [f"trainer {number}" for number in range(24, 4, -1)]

    life.resolve(GOOD.dataset_id)
    with catalog.write() as change:
        lifecycle.build_failed(change, KEY, Failure(Reason.HANDLER_ERROR, "no"))
    assert waiting() == [], "all of them were told"
