"""A broker, a builder and a notifier for a benchmark, on a home that goes away afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from datamill.sessions import close_sessions
from datamill_producer.rabbitmq import PrivateNode, ensure_installation
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient
from tests.support.notifier import NotifierProcess

HANDLERS = Path(__file__).resolve().parents[1] / "handlers" / "dist"


@dataclass(frozen=True)
class Running:
    """What runs, and where."""

    home: Path
    broker_url: str
    builder: BuilderProcess
    http_url: str
    """The notifier's address; empty without one."""

    @property
    def raw(self) -> Path:
        """The raw root."""
        return self.home / "raw"

    def client(self) -> PlainClient:
        """Return a connected client of the contracts alone."""
        return PlainClient(self.broker_url)


@contextmanager
def service(*, notifier: bool = False, **settings: str) -> Iterator[Running]:
    """Run the parts, with the handlers of this checkout, and end them."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datamill-bench-")))
        for folder in ("raw", "wheels"):
            (home / folder).mkdir()
        installation = ensure_installation(log=print)
        url = stack.enter_context(PrivateNode(home / "broker", installation)).url
        given = {"DATAMILL_HANDLER_SOURCES": f"{home}/wheels,{HANDLERS}", **settings}
        if notifier:
            serving = NotifierProcess(home, url).start()
            stack.callback(serving.stop)
            given["DATAMILL_PUBLIC_URL"] = serving.url
        builder = BuilderProcess(home, url, **given).start()
        stack.callback(builder.stop)
        yield Running(home, url, builder, serving.url if notifier else "")


@contextmanager
def as_client(running: Running) -> Iterator[None]:
    """Let `import datamill` of this process find the service."""
    settings = {
        "DATAMILL_HOME": str(running.home),
        "DATAMILL_CACHE": str(running.home / "cache"),
        "DATAMILL_BROKER_URL": running.broker_url,
        "DATAMILL_URL": running.http_url,
    }
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        close_sessions()
        os.environ.clear()
        os.environ.update(before)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
