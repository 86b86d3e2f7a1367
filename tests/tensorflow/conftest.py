"""A builder and a notifier on a home of their own, and a client that finds them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datamill.sessions import close_sessions
from datamill_producer.rabbitmq import PrivateNode
from tests.support.builder import BuilderProcess
from tests.support.notifier import NotifierProcess


@dataclass(frozen=True)
class Service:
    """What runs; raw data and handler packages may be added at any time."""

    home: Path

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    @property
    def wheels(self) -> Path:
        return self.home / "wheels"


@pytest.fixture(scope="module")
def service(
    node: PrivateNode, shipped_wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service, with the handlers that ship; this process is its client."""
    home = tmp_path_factory.mktemp("service")
    running = Service(home)
    for folder in (running.raw, running.wheels):
        folder.mkdir()
    (home / "datamill.toml").write_text(
        '[datasets.ants-and-bees]\nhandler = "classification"\nraw = "classification"\n'
    )
    vhost = f"test-{uuid.uuid4().hex[:12]}"
    broker_url = node.add_vhost(vhost)
    notifier = NotifierProcess(home, broker_url).start()
    builder = BuilderProcess(
        home,
        broker_url,
        DATAMILL_PUBLIC_URL=notifier.url,
        DATAMILL_HANDLER_SOURCES=f"{running.wheels},{shipped_wheels}",
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATAMILL_HOME", str(home))
        environment.setenv("DATAMILL_CACHE", str(home / "cache"))
        environment.setenv("DATAMILL_BROKER_URL", broker_url)
        environment.setenv("DATAMILL_URL", notifier.url)
        try:
            builder.start()
            yield running
        finally:
            close_sessions()
            ended = builder.stop(), notifier.stop()
            node.delete_vhost(vhost)
            print(notifier.log(), builder.log())  # shown where a test has failed
            assert ended == (0, 0)
