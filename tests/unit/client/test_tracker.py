"""What is known of a dataset, and who waits for it."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from datamill.errors import ArchiveError, InvalidRequest
from datamill.event_feed import events_until_answer
from datamill.events import Accepted, Evicted, Failed, Planned, Progress, Ready, Reason, ShardDone
from datamill.features import Feature, parse_features
from datamill.progress import progress_view
from datamill.request import Request
from datamill.subscription import BACKLOG, Subscription
from datamill.tracker import Tracker, tracker_of

REQUEST = Request.of("toy", "1.0.0", {})
ID = REQUEST.dataset_id
KEY = "0" * 64
ACCEPTED = Accepted(dataset_id=ID, state="queued", waiting=1, ahead=2)
PLANNED = Planned(dataset_id=ID, content_key=KEY, config={}, features=None, records=30, shards=3)
SHARD = ShardDone(
    dataset_id=ID, index=0, shards=3, split="train", url="u", bytes=1, sha256=KEY, records=10
)
PROGRESS = Progress(
    dataset_id=ID, shards_done=1, shards=3, records_done=10, records_per_sec=5, secs_left=4
)
READY = Ready(
    dataset_id=ID,
    content_key=KEY,
    archive="a.zip",
    url="u",
    bytes=1,
    sha256=KEY,
    records=30,
    shards=3,
    cached=False,
)
FAILED = Failed(dataset_id=ID, reason=Reason.INTERNAL, message="why", retryable=True)
EVICTED = Evicted(dataset_id=ID, content_key=KEY)


def test_states() -> None:
    tracker = Tracker(ID, REQUEST)
    states = [tracker.state]
    for event in (ACCEPTED, PLANNED, SHARD, PROGRESS, READY, EVICTED, FAILED, READY):
        tracker.feed(event)
        states.append(tracker.state)
    assert states == [
        "asked",
        "queued",
        "building",
        "building",
        "building",
        "ready",
        "queued",
        "failed",
        "ready",
    ]


def test_only_what_was_asked_for_and_has_no_answer_is_wanted() -> None:
    tracker = Tracker(ID, REQUEST)
    assert tracker.wanted
    tracker.feed(READY)
    tracker.feed(EVICTED)
    assert (tracker.wanted, tracker.answered) == (False, False)
    message_id = tracker.message_id
    tracker.ask_anew()
    assert tracker.wanted
    assert tracker.message_id != message_id
    assert not Tracker(ID).wanted


def test_another_contents_eviction_changes_nothing() -> None:
    tracker = Tracker(ID, REQUEST)
    tracker.feed(READY)
    tracker.feed(Evicted(dataset_id=ID, content_key="1" * 64))
    assert tracker.ready == READY


def test_threads_and_coroutines_wait() -> None:
    tracker = Tracker(ID, REQUEST)
    done: queue.SimpleQueue[bool] = queue.SimpleQueue()
    thread = threading.Thread(
        target=lambda: done.put(tracker.wait_until(lambda: tracker.answered, 20))
    )
    thread.start()

    async def wait() -> None:
        task = asyncio.create_task(tracker.answer())
        tracker.feed(ACCEPTED)
        await asyncio.sleep(0)
        assert not task.done()
        threading.Thread(target=tracker.feed, args=(READY,)).start()
        await task

    asyncio.run(wait())
    assert done.get(timeout=20)
    thread.join()
    assert not tracker.wait_until(lambda: tracker.failed is not None, 0.01)


def test_the_tracker_of_a_dataset_lives_as_long_as_somebody_uses_it() -> None:
    tracker = Tracker(ID, REQUEST)
    assert tracker_of(ID) is tracker
    del tracker
    assert tracker_of(ID) is None


def test_events_up_to_the_answer() -> None:
    tracker = Tracker(ID, REQUEST)
    tracker.feed(ACCEPTED)
    events = events_until_answer(tracker)
    assert next(events) == ACCEPTED
    for event in (PLANNED, READY, FAILED):
        tracker.feed(event)
    assert list(events) == [PLANNED, READY]


def test_a_slow_reader_loses_the_oldest() -> None:
    subscription = Subscription("dataset.*.*", lambda _subscription: None)
    for number in range(BACKLOG + 5):
        subscription.offer(PROGRESS.routing_key, PROGRESS.model_copy(update={"shards": number}))
    first = next(subscription)
    assert isinstance(first, Progress)
    assert first.shards == 5
    subscription.close()


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("dataset.ready.*", True),
        ("dataset.*.*", True),
        ("dataset.#", True),
        (f"dataset.*.{ID}", True),
        ("dataset.failed.*", False),
        (f"dataset.*.{KEY}", False),
    ],
)
def test_patterns(pattern: str, matches: bool) -> None:
    subscription = Subscription(pattern, lambda _subscription: None)
    subscription.offer(READY.routing_key, READY)
    subscription.offer("dataset.ready." + KEY, FAILED)
    subscription.close()
    assert subscription._events.qsize() >= 1
    assert (subscription._matches(READY.routing_key)) is matches


@pytest.mark.parametrize("pattern", ["#", "*", "", "dataset.ready", "dataset.READY.*", "a.b.c"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(InvalidRequest, match="pattern"):
        Subscription(pattern, lambda _subscription: None)


def test_progress_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """pytest's stderr is no terminal."""
    with progress_view("toy", shown=True) as view:
        for event in (ACCEPTED, PLANNED, PROGRESS, PROGRESS, SHARD, READY, FAILED):
            view.event(event)
        for done in (0, 10, 50, 100):
            view.download(done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "toy: queued, 2 ahead",
        "toy: 30 records in 3 shards will be built",
        "toy: 1 of 3 shards, 10 records built",
        "toy: ready, 30 records, just built",
        "toy: failed: why",
        "toy: 0 % of 0.0 MB downloaded",
        "toy: 100 % of 0.0 MB downloaded",
    ]


def test_progress_that_nobody_wants(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_view("toy", shown=False) as view:
        view.event(READY)
        view.download(1, 1)
    assert capsys.readouterr().err == ""


def test_features_that_need_their_handler() -> None:
    sequence = {"pythonClassName": "x.sequence_feature.Sequence", "sequence": {"feature": {}}}
    shape = {"shape": {"dimensions": ["-1", "-1"]}, "dtype": "int64"}
    for description in (sequence, {"tensor": shape}, {"tensor": shape | {"encoding": "zlib"}}):
        document = {"content": {"features": {"boxes": description}}}
        with pytest.raises(ArchiveError, match=r"boxes .*use_handler"):
            parse_features(document)


@pytest.mark.parametrize("document", [{}, {"content": {}}, {"content": {"features": {"a": 1}}}])
def test_features_that_are_none(document: dict[str, object]) -> None:
    with pytest.raises(ArchiveError):
        parse_features(document)


def test_features() -> None:
    image = {"shape": {"dimensions": ["-1", "-1", "1"]}, "encodingFormat": "png"}
    inner = {"featuresDict": {"features": {"deep": {"classLabel": {"numClasses": "2"}}}}}
    document = {"content": {"features": {"mask": {"image": image}, "inner": inner}}}
    assert parse_features(document) == [
        Feature(("mask",), "image", "uint8", (None, None, 1), "png"),
        Feature(("inner", "deep"), "label", "int64", (), classes=2),
    ]
