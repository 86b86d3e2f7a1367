"""What a training script calls, against a real broker and a real HTTP server."""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest

import datamill
from datamill import topology
from datamill.events import Accepted, Event, Evicted, Failed, Progress, Reason
from datamill.request import Request
from datamill.sessions import close_sessions
from tests.support.archives import PackedArchive, pack
from tests.support.file_server import FileServer
from tests.support.played_builder import Answer, PlayedBuilder

Play = Callable[[Answer], PlayedBuilder]
PlayReady = Callable[[PackedArchive], PlayedBuilder]

pytestmark = pytest.mark.usefixtures("environment")


def ask(**config: int) -> datamill.Dataset:
    return datamill.request_dataset("toy", "1.0.0", config)


def test_ask_wait_look(play_ready: PlayReady, environment: Path) -> None:
    archive = pack()
    play_ready(archive)
    dataset = ask(number=1)
    with pytest.raises(datamill.NotCached):
        dataset.files()
    folder = dataset.wait(timeout=20)
    assert folder == dataset.folder
    assert environment in folder.parents
    assert dataset.state == "ready"
    assert dataset.id == datamill.dataset_id("toy", "1.0.0", {"number": 1})
    assert dataset.manifest == archive.manifest
    assert [Path(file).name for file in dataset.files("train")] == list(archive.shards)
    assert [Path(file).read_bytes() for file in dataset.files()] == list(archive.shards.values())
    assert dataset.files("nothing") == []


def test_what_is_cached_is_not_downloaded_again(play_ready: PlayReady, server: FileServer) -> None:
    archive = pack()
    builder = play_ready(archive)
    assert ask().wait(20) == ask().wait(20) == ask(number=2).wait(20)
    assert server.count(f"/datasets/{archive.name}") == 1
    assert len(builder.requests) == 3


def test_without_any_service_the_cache_answers_and_says_so(
    play_ready: PlayReady,
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    archive = pack()
    play_ready(archive)
    folder = ask().wait(20)
    close_sessions()
    for url in ("amqp://127.0.0.1:9/", None):
        if url:
            monkeypatch.setenv("DATAMILL_BROKER_URL", url)
        else:
            monkeypatch.delenv("DATAMILL_BROKER_URL")
        caplog.clear()
        with caplog.at_level(logging.WARNING, "datamill"):
            dataset = ask()
        assert dataset.wait() == folder
        assert dataset.manifest == archive.manifest
        assert len(caplog.messages) == 1
        assert "from the cache" in caplog.messages[0]
        assert asyncio.run(datamill.wait_for_completion(dataset.id)).sha256 == archive.sha256
        with pytest.raises(datamill.ServiceUnavailable):
            ask(number=2)
    assert server.count(f"/datasets/{archive.name}") == 1


def test_a_failure_says_why(play: Play) -> None:
    def fail(request: Request, _id: str) -> list[Event]:
        return [
            Failed(
                dataset_id=request.dataset_id,
                reason=Reason.INVALID_CONFIG,
                message="image_size: 0 is not allowed",
                retryable=False,
            )
        ]

    play(fail)
    dataset = ask()
    with pytest.raises(datamill.RequestFailed, match="image_size: 0 is not allowed") as caught:
        dataset.wait(20)
    assert (caught.value.reason, caught.value.retryable) == ("invalid_config", False)
    assert dataset.state == "failed"
    with pytest.raises(datamill.RequestFailed):
        asyncio.run(datamill.wait_for_completion(dataset.id))


def test_bad_arguments_are_refused_before_anybody_is_asked() -> None:
    with pytest.raises(datamill.InvalidRequest, match="dataset_name"):
        datamill.request_dataset("../etc", "1.0.0", {})
    with pytest.raises(datamill.InvalidRequest, match="canonical JSON"):
        datamill.request_dataset("toy", "1.0.0", {"rate": float("nan")})


def test_a_timeout_and_waiting_again(play_ready: PlayReady, play: Play) -> None:
    archive = pack()
    builder = play_ready(archive)
    answer, builder.answer = builder.answer, lambda request, _id: []
    dataset = ask()
    with pytest.raises(datamill.WaitTimeout, match="asked"):
        dataset.wait(0.1)
    with pytest.raises(TimeoutError):
        asyncio.run(datamill.wait_for_completion(dataset.id, 0.1))
    builder.publish(*answer(dataset.request, ""))
    assert dataset.wait(20).is_dir()


def test_an_archive_that_was_evicted_before_it_was_fetched_is_asked_for_again(
    play: Play, server: FileServer
) -> None:
    archive = pack()

    def answer(request: Request, message_id: str) -> list[Event]:
        if len(builder.requests) > 1:
            server.add(f"/datasets/{archive.name}", archive.body)
        return [archive.ready(request.dataset_id, server.url)]

    builder = play(answer)
    assert ask().wait(20).is_dir()
    assert len({message_id for _request, message_id in builder.requests}) == 2


def test_waiting_after_an_eviction_asks_again(play_ready: PlayReady) -> None:
    archive = pack()
    builder = play_ready(archive)
    dataset = ask()
    folder = dataset.wait(20)
    builder.publish(Evicted(dataset_id=dataset.id, content_key=archive.manifest.content_key))
    assert dataset.tracker.wait_until(lambda: not dataset.tracker.answered, 20)
    assert dataset.wait(20) == folder
    assert len(builder.requests) == 2


def test_events(play: Play, server: FileServer) -> None:
    archive = pack()
    server.add(f"/datasets/{archive.name}", archive.body)

    def answer(request: Request, _id: str) -> list[Event]:
        accepted = Accepted(dataset_id=request.dataset_id, state="building", waiting=1, ahead=0)
        return [accepted]

    builder = play(answer)
    dataset = ask()
    events = dataset.events()
    assert next(events).event == "accepted"
    progress = Progress(
        dataset_id=dataset.id,
        shards_done=1,
        shards=3,
        records_done=1,
        records_per_sec=1.0,
        secs_left=None,
    )
    builder.publish(progress, archive.ready(dataset.id, server.url))
    assert [event.event for event in events] == ["progress", "ready"]
    assert [event.event for event in dataset.events()] == ["accepted", "ready"]


def test_waiting_in_coroutines_for_ones_own_and_others_datasets(
    play_ready: PlayReady, server: FileServer
) -> None:
    archive = pack()
    builder = play_ready(archive)
    answer, builder.answer = builder.answer, lambda request, _id: []
    mine = ask(number=1)
    foreign = Request.of("toy", "1.0.0", {"number": 2})

    async def both() -> list[str]:
        waits = [
            asyncio.create_task(datamill.wait_for_completion(name, 20))
            for name in (mine.id, foreign.dataset_id)
        ]
        with await asyncio.to_thread(datamill.subscribe, f"dataset.*.{foreign.dataset_id}"):
            done, _pending = await asyncio.wait(waits, timeout=0.3)
            assert not done
            builder.publish(*answer(mine.request, ""), *answer(foreign, ""))
            return [(await wait).dataset_id for wait in waits]

    assert asyncio.run(both()) == [mine.id, foreign.dataset_id]


def test_a_wait_in_a_forked_child(play_ready: PlayReady) -> None:
    """What happens where a data loader forks: the child asks for itself."""
    import multiprocessing
    import warnings

    builder = play_ready(pack())
    answer, builder.answer = builder.answer, lambda request, _id: []
    dataset = ask()
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=lambda: results.put(str(dataset.wait(20))))
    builder.answer = answer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    assert Path(results.get()).is_dir()
    child.join(20)
    assert child.exitcode == 0
    assert dataset.wait(20).is_dir()


def test_four_trainings_at_once(play_ready: PlayReady, server: FileServer) -> None:
    archive = pack()
    builder = play_ready(archive)
    code = (
        "import datamill; d = datamill.request_dataset('toy', '1.0.0', {'n': 1}); "
        "print(d.wait(timeout=30, progress=True))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=40) for process in processes]
    assert len({folder for folder, _said in answers}) == 1
    assert all("ready, 3 records" in said for _folder, said in answers), answers
    assert server.count(f"/datasets/{archive.name}") == 1
    assert len(builder.requests) == 4


def test_the_address_set_here_comes_first(
    play: Play, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a tunnel the address in the event leads nowhere."""
    archive = pack()
    server.add(f"/datasets/{archive.name}", archive.body)
    play(lambda request, _id: [archive.ready(request.dataset_id, "http://unreachable.invalid")])
    monkeypatch.setenv("DATAMILL_URL", server.url)
    assert ask().wait(20).is_dir()


def test_a_hit_costs_little_more_than_the_broker(play_ready: PlayReady, broker_url: str) -> None:
    """Medians of 100, taken in turns, so that a busy machine slows both."""
    play_ready(pack())
    ask().wait(20)
    bare, asked = [], []
    with BareRoundTrip(broker_url) as round_trip:
        for _ in range(100):
            bare.append(_secs(round_trip))
            asked.append(_secs(_hit))
    assert statistics.median(asked) < 3 * statistics.median(bare)


def _secs(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _hit() -> None:
    tracker = ask().tracker
    assert tracker.wait_until(lambda: tracker.answered, 20)


class BareRoundTrip:
    """Publish, consume, publish, receive: pika alone, the other side in a thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = False
        self._listening = threading.Event()
        self._echo = threading.Thread(target=self._answer)
        self._got = 0

    def _connect(self) -> Any:
        return pika.BlockingConnection(pika.URLParameters(self._url))

    def _answer(self) -> None:
        with self._connect() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("bare", durable=True, arguments={"x-queue-type": "quorum"})

            def on_message(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
                channel.basic_publish(topology.EVENTS_EXCHANGE, "bare.answer", body, properties)
                channel.basic_ack(method.delivery_tag)

            channel.basic_consume("bare", on_message)
            self._listening.set()
            while not self._stopping:
                connection.process_data_events(0.2)

    def __enter__(self) -> BareRoundTrip:
        self._echo.start()
        assert self._listening.wait(20)
        self._in, self._out = self._connect(), self._connect()
        channel = self._in.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, topology.EVENTS_EXCHANGE, "bare.answer")
        channel.basic_consume(queue, self._on_answer, auto_ack=True)
        self._publishing = self._out.channel()
        self._publishing.confirm_delivery()
        return self

    def _on_answer(self, *_delivery: object) -> None:
        self._got += 1

    def __call__(self) -> None:
        wanted = self._got + 1
        persistent = pika.BasicProperties(delivery_mode=2)
        self._publishing.basic_publish("", "bare", b"x" * 500, persistent, mandatory=True)
        while self._got < wanted:
            self._in.process_data_events(1)

    def __exit__(self, *_error: object) -> None:
        self._stopping = True
        self._echo.join(20)
        self._in.close()
        self._out.close()
