"""Many who wait over HTTP: a few streams for all of them, through which nothing is lost."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from sqlalchemy import insert

from datamill import topology
from datamill.events import Event, Progress, Ready
from datamill.following import MOST_OF_STREAM, Following
from datamill.http_session import HttpSession
from datamill.request import Request, canonical_json
from datamill.tracker import Tracker
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import datasets
from datamill_producer.rabbitmq import PrivateNode
from tests.support.catalog_steps import Steps
from tests.support.eventually import eventually
from tests.support.notifier import NotifierProcess

COUNT = 3 * MOST_OF_STREAM
FEW = 4
"""Streams for so many: one may be about to end while the next begins."""


@pytest.fixture(scope="module")
def vhost_url(node: PrivateNode) -> Iterator[str]:
    url = node.add_vhost("following")
    yield url
    node.delete_vhost("following")


@pytest.fixture(scope="module")
def notifier(home: Path, vhost_url: str) -> Iterator[NotifierProcess]:
    """A notifier with a broker, whose address stays over a restart."""
    first = NotifierProcess(home, vhost_url, DATAMILL_LISTEN="127.0.0.1:0").start()
    assert first.stop() == 0, first.log()
    address = first.url.removeprefix("http://")
    process = NotifierProcess(home, vhost_url, DATAMILL_LISTEN=address).start()
    eventually(lambda: process.ask("/readyz").status == 200, 20)
    yield process
    assert process.stop() == 0, process.log()
    assert "Traceback" not in process.log()


@pytest.fixture
def publish(vhost_url: str) -> Iterator[Callable[[Event], None]]:
    """Publish an event as a builder does."""
    with pika.BlockingConnection(pika.URLParameters(vhost_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()

        def send(event: Event) -> None:
            named = pika.BasicProperties(message_id=uuid.uuid4().hex)
            channel.basic_publish(
                topology.EVENTS_EXCHANGE, event.routing_key, event.encode(), named
            )

        yield send


def streams() -> int:
    """Return how many threads of this process read events."""
    return sum(thread.name == "datamill events" for thread in threading.enumerate())


def receivers(notifier: NotifierProcess) -> float:
    return notifier.numbers()["datamill_event_receivers"]


def ready(dataset_id: str, made: Steps) -> Ready:
    return made.archive.ready(dataset_id, "http://x")


def progress(dataset_id: str, done: int) -> Progress:
    return Progress(
        dataset_id=dataset_id,
        shards_done=done,
        shards=COUNT,
        records_done=0,
        records_per_sec=0.0,
        secs_left=None,
    )


def test_nothing_is_lost_while_others_come(
    notifier: NotifierProcess, publish: Callable[[Event], None], steps: Callable[..., Steps]
) -> None:
    stopping = threading.Event()
    following = Following(notifier.url, stopping)
    first = Tracker("f0" * 32)
    others = [Tracker(f"{number:064x}") for number in range(1, COUNT)]
    seen: list[int] = []

    def note(event: Event) -> None:
        assert isinstance(event, Progress)
        seen.append(event.shards_done)

    made = steps()
    publish(ready(others[-1].dataset_id, made))  # before anybody asks: not for them
    following.add(first)
    eventually(lambda: receivers(notifier) == 1, 20)
    with first.listening(note):
        for number, other in enumerate(others):
            publish(progress(first.dataset_id, number))
            following.add(other)
        publish(progress(first.dataset_id, COUNT - 1))
        eventually(lambda: len(seen) >= COUNT, 30)
    assert seen == list(range(COUNT)), "each once, in order"
    assert not any(other.answered for other in others)

    def all_told() -> bool:
        for other in others:
            if not other.answered:
                publish(ready(other.dataset_id, made))
        return all(other.answered for other in others)

    eventually(all_told, 30)
    assert streams() <= FEW
    assert receivers(notifier) <= FEW
    publish(ready(first.dataset_id, made))
    eventually(lambda: first.answered, 20)
    eventually(lambda: streams() == 0, 20)
    eventually(lambda: receivers(notifier) == 0, 20)


def test_three_hundred_are_answered_also_over_a_restart(
    notifier: NotifierProcess,
    catalog: Catalog,
    publish: Callable[[Event], None],
    steps: Callable[..., Steps],
) -> None:
    made = steps().ready()
    requests = [Request.of("toy", "1.0.0", {"alias": number}) for number in range(COUNT)]
    trackers = [Tracker(request.dataset_id, request) for request in requests]
    most = 0

    def all_answered(some: list[Tracker]) -> bool:
        nonlocal most
        most = max(most, streams())
        return all(tracker.answered for tracker in some)

    session = HttpSession(notifier.url)
    try:
        for tracker in trackers:
            session.ask(tracker)
            most = max(most, streams())
        assert receivers(notifier) <= FEW
        half = COUNT // 2
        become_ready(catalog, requests[:half], made)
        for request in requests[:half]:
            publish(ready(request.dataset_id, made))
        eventually(lambda: all_answered(trackers[:half]), 30)
        assert not any(tracker.answered for tracker in trackers[half:])
        notifier.kill()
        become_ready(catalog, requests[half:], made)  # of which no event tells
        notifier.start()
        eventually(lambda: all_answered(trackers), 60)
        assert most <= FEW
    finally:
        session.close()
    eventually(lambda: streams() == 0, 5)


def become_ready(catalog: Catalog, requests: list[Request], made: Steps) -> None:
    """Write requests into the catalog as further ids of a dataset that is ready."""
    now = time.time()
    rows = [
        {
            "dataset_id": request.dataset_id,
            "dataset_name": request.dataset_name,
            "handler_version": request.handler_version,
            "config": canonical_json(request.dataset_config).decode(),
            "state": "resolved",
            "content_key": made.content_key,
            "raw_marks": "marks",
            "waiting": 0,
            "created_at": now,
            "asked_at": now,
        }
        for request in requests
    ]
    with catalog.write() as change:
        change.connection.execute(insert(datasets), rows)
