"""What became of requests that were published again, counted."""

from __future__ import annotations

import time

from datamill.events import Accepted, Event, Failed, Planned, Ready, Reason
from datamill.request import Request
from datamill.tracker import Tracker
from datamill_producer.replaying import Outcomes, await_answer, outcome, outcome_text

KEY = "0" * 64


def fed(number: int, *events: type[Event] | Event) -> Tracker:
    request = Request.of("toy", "1.0.0", {"n": number})
    tracker = Tracker(request.dataset_id, request)
    for event in events:
        assert isinstance(event, Event)
        tracker.feed(event.model_copy(update={"dataset_id": request.dataset_id}))
    return tracker


def ready(*, cached: bool) -> Ready:
    return Ready(
        dataset_id=KEY,
        content_key=KEY,
        archive="a.zip",
        url="http://here/a.zip",
        bytes=1,
        sha256=KEY,
        records=30,
        shards=3,
        cached=cached,
    )


QUEUED = Accepted(dataset_id=KEY, state="queued", waiting=1, ahead=0)
PLANNED = Planned(dataset_id=KEY, content_key=KEY, config={}, features=None, records=30, shards=3)
FAILED = Failed(dataset_id=KEY, reason=Reason.BAD_DATA, message="no images", retryable=False)


def test_each_is_counted_as_what_it_is() -> None:
    outcomes = Outcomes()
    for tracker in (
        fed(1, ready(cached=True)),
        fed(2, ready(cached=False)),
        fed(3, QUEUED, FAILED),
        fed(4, QUEUED, PLANNED),
        fed(5, QUEUED),
        fed(6),
    ):
        outcomes.add(tracker)
    assert outcomes.text == (
        "6 published: 2 ready (1 was there), 1 failed, 1 still building, 1 queued, "
        "1 without any answer yet"
    )
    assert (outcomes.total, outcomes.failed, outcomes.unanswered) == (6, 1, 3)


def test_what_is_said_of_each() -> None:
    assert outcome_text(fed(1, ready(cached=True))) == "ready, it was there"
    assert outcome_text(fed(1, FAILED)) == "failed, bad_data: no images"
    assert outcome_text(fed(1, QUEUED, PLANNED)) == "published, still building"
    assert outcome(fed(1, QUEUED)) == {"outcome": None, "state": "queued"}
    # Accepted as ready: the answer itself is on its way.
    assert outcome(fed(1, QUEUED.model_copy(update={"state": "ready"})))["state"] == "asked"


def test_nobody_waits_beyond_the_deadline() -> None:
    began = time.monotonic()
    await_answer(fed(1, QUEUED), began - 1.0)
    await_answer(fed(1, ready(cached=True)), None)
    assert time.monotonic() - began < 1.0
