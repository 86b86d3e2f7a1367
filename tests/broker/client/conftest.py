"""A client's environment: a broker, a file server, a cache of its own, and a builder to play."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pika
import pytest

from datamill import topology
from datamill.sessions import close_sessions
from datamill_producer.rabbitmq import PrivateNode
from tests.support.archives import PackedArchive
from tests.support.file_server import FileServer
from tests.support.played_builder import Answer, PlayedBuilder


@pytest.fixture(scope="module")
def shared_vhost(node: PrivateNode) -> Iterator[str]:
    """A virtual host for a module: making one takes longer than most tests here."""
    name = f"client-{uuid.uuid4().hex[:12]}"
    yield node.add_vhost(name)
    node.delete_vhost(name)


@pytest.fixture
def broker_url(shared_vhost: str) -> Iterator[str]:
    """A broker that holds no request of the test before."""
    yield shared_vhost
    connection = pika.BlockingConnection(pika.URLParameters(shared_vhost))
    channel = connection.channel()
    topology.declare(channel)
    channel.queue_purge(topology.REQUESTS_QUEUE)
    connection.close()


@pytest.fixture
def environment(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make this process a client of the test's broker; give the cache's folder."""
    monkeypatch.setenv("DATAMILL_BROKER_URL", broker_url)
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DATAMILL_URL", raising=False)
    yield tmp_path / "cache"
    close_sessions()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def play(broker_url: str) -> Iterator[Callable[[Answer], PlayedBuilder]]:
    """Start builders that answer as told."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(PlayedBuilder(broker_url, answer))


@pytest.fixture
def play_ready(
    play: Callable[[Answer], PlayedBuilder], server: FileServer
) -> Callable[[PackedArchive], PlayedBuilder]:
    """Start a builder for which one archive is ready, whatever is asked for."""

    def start(archive: PackedArchive) -> PlayedBuilder:
        server.add(f"/datasets/{archive.name}", archive.body)
        return play(lambda request, _id: [archive.ready(request.dataset_id, server.url)])

    return start
