"""Asking over HTTP, where the broker can't be reached; from a real HTTP server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import datamill
from datamill.events import Failed, Reason
from datamill.request import Request
from datamill.sessions import close_sessions
from tests.support.archives import TEXT_FEATURES, pack
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
        b": beat\n\nevent: ready\ndata: " + e.encode() + b"\n\n" for e in (second, first)
    )
    notifier.server.add(f"/events?dataset={ID}", lines)
    with datamill.subscribe(f"dataset.ready.{ID}") as events:
        assert next(events) == first
