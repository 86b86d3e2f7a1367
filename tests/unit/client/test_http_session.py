"""Asking over HTTP, where the broker can't be reached; from a real HTTP server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import datamill
from datamill.events import Accepted, Failed, Progress, Reason, ShardDone
from datamill.http_session import HttpSession
from datamill.http_state import State
from datamill.request import Request
from datamill.sessions import close_sessions
from datamill.tracker import Tracker
from tests.support.archives import TEXT_FEATURES, pack
from tests.support.eventually import eventually
from tests.support.file_server import FileServer

NAME = ("toy", "1.0.0", {"number": 1})
ID = datamill.dataset_id(*NAME)


class PlayedNotifier:
    """A notifier's state for one dataset."""

    def __init__(self, server: FileServer) -> None:
        self.server = server
        self.state: dict[str, Any] | None = None
        self.posted: list[Request] = []
        self.after_post: list[dict[str, Any] | None] = []
        """What the state becomes at each look after a request; the last one stays."""
        server.json[f"/datasets/{ID}"] = self._look
        server.on_post = self._take

    def _look(self) -> dict[str, Any] | None:
        if self.posted and self.after_post:
            self.state = self.after_post.pop(0)
        return self.state

    def _take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        self.posted.append(Request.decode(body))
        return 202, {"dataset_id": self.posted[-1].dataset_id}


@pytest.fixture
def notifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedNotifier]:
    for name in list(os.environ):
        if name.startswith("DATAMILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("datamill.http_session._FIRST_PAUSE_SECS", 0.02)
    with FileServer() as server:
        monkeypatch.setenv("DATAMILL_URL", server.url)
        monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
        yield PlayedNotifier(server)
        close_sessions()


def state(name: str, **more: Any) -> dict[str, Any]:
    return {"dataset_id": ID, "state": name, "requests": 1, **more}


def test_from_unknown_over_building_to_ready(notifier: PlayedNotifier) -> None:
    archive = pack()
    notifier.server.add(f"/datasets/{archive.name}", archive.body)
    ready = archive.ready(ID, "http://unreachable.invalid").model_dump(mode="json")
    planned = {
        "event": "planned",
        "dataset_id": ID,
        "content_key": archive.manifest.content_key,
        "config": {},
        "features": TEXT_FEATURES,
        "records": 3,
        "shards": 3,
    }
    building = {"planned": planned, "shards": 3, "shards_done": 1, "records_done": 1}
    notifier.after_post = [
        None,
        state("queued"),
        state("building", **building),
        state("ready", ready=ready, **building),
    ]
    dataset = datamill.request_dataset(*NAME)
    seen: list[str] = []
    with dataset.tracker.listening(lambda event: seen.append(event.event)):
        assert dataset.wait(20).is_dir()
    assert seen[-1] == "ready"
    assert {"accepted", "planned", "progress"} <= {*seen}
    assert seen.count("progress") == 2
    assert [request.dataset_id for request in notifier.posted] == [ID]


def test_the_failure_of_an_earlier_request_is_not_this_ones(notifier: PlayedNotifier) -> None:
    failed = Failed(dataset_id=ID, reason=Reason.TIMEOUT, message="once", retryable=True)
    old = state("failed", failed=failed.model_dump(mode="json"))
    archive = pack()
    notifier.server.add(f"/datasets/{archive.name}", archive.body)
    ready = archive.ready(ID, notifier.server.url).model_dump(mode="json")
    notifier.state = old
    notifier.after_post = [old, old, state("ready", ready=ready) | {"requests": 2}]
    assert datamill.request_dataset(*NAME).wait(20).is_dir()


def test_a_failure_of_this_request(notifier: PlayedNotifier) -> None:
    failed = Failed(dataset_id=ID, reason=Reason.TIMEOUT, message="again", retryable=True)
    notifier.state = state("failed", failed=failed.model_dump(mode="json"))
    notifier.after_post = [notifier.state | {"requests": 2}]
    with pytest.raises(datamill.RequestFailed, match="timeout: again"):
        datamill.request_dataset(*NAME).wait(20)


def test_a_cancelled_build(notifier: PlayedNotifier) -> None:
    notifier.after_post = [state("cancelled")]
    with pytest.raises(datamill.RequestFailed) as caught:
        datamill.request_dataset(*NAME).wait(20)
    assert caught.value.reason == "cancelled"


def test_a_refused_request(notifier: PlayedNotifier) -> None:
    notifier.server.on_post = lambda _body: (400, {"error": "invalid", "message": "no such thing"})
    with pytest.raises(datamill.InvalidRequest, match="no such thing"):
        datamill.request_dataset(*NAME)


def test_a_busy_service(notifier: PlayedNotifier) -> None:
    notifier.server.on_post = lambda _body: (
        503,
        {"error": "busy", "message": "the broker is away"},
    )
    with pytest.raises(datamill.ServiceUnavailable, match="the broker is away"):
        datamill.request_dataset(*NAME)


def test_something_else_answers(notifier: PlayedNotifier) -> None:
    notifier.state = {"hello": "world"}
    with pytest.raises(datamill.ServiceUnavailable, match="as a notifier does"):
        datamill.request_dataset(*NAME)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, notifier: PlayedNotifier) -> None:
    monkeypatch.setenv("DATAMILL_URL", "http://127.0.0.1:9")
    with pytest.raises(datamill.ServiceUnavailable, match=r"127\.0\.0\.1:9 .*refused"):
        datamill.request_dataset(*NAME)


def test_the_dataset_of_somebody_else(notifier: PlayedNotifier) -> None:
    archive = pack()
    ready = archive.ready(ID, notifier.server.url).model_dump(mode="json")
    notifier.state = state("ready", ready=ready)
    found = asyncio.run(datamill.wait_for_completion(ID, 20))
    assert found.sha256 == archive.sha256
    assert notifier.posted == []


def test_events_by_the_event_stream(notifier: PlayedNotifier) -> None:
    archive = pack()
    first, second = archive.ready(ID, "http://x"), archive.ready("cd" * 32, "http://x")
    lines = b"".join(
        b": beat\n\nid: 1\nevent: ready\ndata: " + e.encode() + b"\n\n" for e in (second, first)
    )
    notifier.server.add(f"/events?dataset={ID}&secs=0", b"retry: 2000\nid: 0\n\n")
    notifier.server.add(f"/events?dataset={ID}", lines)
    with datamill.subscribe(f"dataset.ready.{ID}") as events:
        assert next(events) == first


def test_events_of_a_server_that_has_none(notifier: PlayedNotifier) -> None:
    with pytest.raises(datamill.ServiceUnavailable, match="is it a Datamill notifier"):
        datamill.subscribe(f"dataset.ready.{ID}")


def test_closing_the_sessions_ends_what_is_subscribed_to(notifier: PlayedNotifier) -> None:
    for query in ("?secs=0", ""):
        notifier.server.add(f"/events{query}", b"retry: 2000\nid: 0\n\n")
    events = datamill.subscribe()
    close_sessions()
    assert list(events) == []


def test_a_service_that_restarts_is_waited_for(notifier: PlayedNotifier) -> None:
    archive = pack()
    notifier.server.add(f"/datasets/{archive.name}", archive.body)
    ready = archive.ready(ID, notifier.server.url).model_dump(mode="json")
    notifier.after_post = [state("ready", ready=ready)]
    assert datamill.request_dataset(*NAME).wait(20).is_dir()
    take = notifier.server.on_post
    refusals = [(503, {"error": "unavailable", "message": "this notifier is stopping"})] * 2
    notifier.server.on_post = lambda body: refusals.pop() if refusals else take(body)
    assert datamill.request_dataset(*NAME).wait(20).is_dir()
    assert refusals == []


def test_what_is_asked_again_is_one_request_and_says_who_asks(notifier: PlayedNotifier) -> None:
    session = HttpSession(notifier.server.url, repeat_secs=0.05, client="Jürgen")
    request = Request.of(*NAME)
    tracker = Tracker(request.dataset_id, request)
    session.ask(tracker)
    eventually(lambda: len(notifier.posted) >= 3, 20)
    session.close()
    heads = notifier.server.posted_headers
    assert {head["idempotency-key"] for head in heads} == {f'"{tracker.message_id}"'}
    # http.server reads header fields as Latin-1.
    assert {head["datamill-client"].encode("latin-1").decode() for head in heads} == {"Jürgen"}


def test_a_redirect_is_no_notifier(notifier: PlayedNotifier) -> None:
    with FileServer() as elsewhere:
        elsewhere.json["/requests"] = lambda: {"taken": "by another"}
        notifier.server.moved["/requests"] = f"{elsewhere.url}/requests"
        with pytest.raises(datamill.ServiceUnavailable) as caught:
            datamill.request_dataset(*NAME)
    assert f"{notifier.server.url} sends requests on to {elsewhere.url}: " in str(caught.value)
    assert "set DATAMILL_URL" in str(caught.value)


def test_shards_and_archives_are_fetched_by_the_address_that_was_set(
    notifier: PlayedNotifier,
) -> None:
    archive = pack()
    ready = archive.ready(ID, "http://unreachable.invalid")
    notifier.after_post = [state("ready", ready=ready.model_dump(mode="json"))]
    dataset = datamill.request_dataset(*NAME)
    shard = ShardDone(
        dataset_id=ID,
        index=2,
        shards=3,
        split="train",
        url=f"http://unreachable.invalid/datasets/{ID}/shards/2",
        bytes=1,
        sha256="0" * 64,
        records=1,
    )
    assert dataset.shard_source(shard).urls == (
        f"{notifier.server.url}/datasets/{ID}/shards/2",
        shard.url,
    )


def test_progress_is_what_the_build_tells_and_the_catalog_counts() -> None:
    told = Progress(
        dataset_id=ID,
        shards_done=1,
        shards=4,
        records_done=17,
        records_per_sec=5.5,
        secs_left=3.0,
    )
    counted = {"shards": 4, "shards_done": 2, "records_done": 10, "waiting": 2, "ahead": 1}
    building = state("building", progress=told.model_dump(mode="json"), **counted)
    accepted, progress = State.model_validate(building).events()
    assert isinstance(accepted, Accepted)
    assert (accepted.waiting, accepted.ahead) == (2, 1)
    assert isinstance(progress, Progress)
    assert progress.shards_done == 2
    assert (progress.records_done, progress.records_per_sec, progress.secs_left) == (17, 5.5, 3.0)
    _, quiet = State.model_validate(state("building", progress=None, **counted)).events()
    assert isinstance(quiet, Progress)
    assert (quiet.records_done, quiet.records_per_sec, quiet.secs_left) == (10, 0.0, None)


def test_who_waits_is_told_by_a_stream_meanwhile(
    notifier: PlayedNotifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datamill.http_session._FIRST_PAUSE_SECS", 3600.0)
    monkeypatch.setattr("datamill.http_session._LONGEST_PAUSE_SECS", 3600.0)
    archive = pack()
    notifier.server.add(f"/datasets/{archive.name}", archive.body)
    notifier.after_post = [state("queued")]
    ready = archive.ready(ID, notifier.server.url).encode()
    notifier.server.add(f"/events?dataset={ID}&secs=0", b"retry: 2000\nid: 0\n\n")
    notifier.server.add(f"/events?dataset={ID}", b"id: 1\nevent: ready\ndata: " + ready + b"\n\n")
    assert datamill.request_dataset(*NAME).wait(20).is_dir()
