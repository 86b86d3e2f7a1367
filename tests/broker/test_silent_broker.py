"""Something that takes connections and says nothing, as where a network swallows all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from datamill import topology
from datamill.broker import BatchConsumer, OutboundRelay, SlotConsumer
from datamill.broker.connection import connect
from datamill.broker.event_consumer import EventConsumer
from datamill.broker.listener import EventListener
from datamill.errors import BrokerUnavailable, DatamillError


class Silence:
    """A server that says nothing, and counts who came."""

    def __init__(self) -> None:
        self.came = 0
        self._taken: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"amqp://user:secret@127.0.0.1:{self._listening.getsockname()[1]}/x"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._taken.append(connection)
            self.came += 1

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for connection in self._taken:
            connection.close()


@pytest.fixture
def silence() -> Iterator[Silence]:
    server = Silence()
    yield server
    server.close()


def test_who_connects_is_told_so(silence: Silence) -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:\d+ took the connection") as told:
        connect(silence.url, "test")
    assert "secret" not in str(told.value)


def test_all_parts_try_again(silence: Silence) -> None:
    queue = topology.REQUESTS_QUEUE
    ends: list[DatamillError] = []
    parts = [
        OutboundRelay(silence.url, "relay", lambda _ids: None),
        EventListener(silence.url, "listener", lambda _key, _body: None, lambda: None, ends.append),
        BatchConsumer(silence.url, "batches", queue, 10, lambda batch: [True] * len(batch)),
        SlotConsumer(silence.url, "slots", queue, 1, lambda _delivery: None),
        EventConsumer(silence.url, "events", lambda _events: None),
    ]
    for part in parts:
        part.start()
    deadline = time.monotonic() + 60.0
    while silence.came < 2 * len(parts):
        assert time.monotonic() < deadline
        assert all(part.is_alive() for part in parts)
        time.sleep(0.1)
    assert ends == []
    for part in parts:
        part.stop()
    for part in parts:
        part.join(30.0)
        assert not part.is_alive()
