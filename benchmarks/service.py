"""A broker and a builder for a benchmark, on a home of their own that goes away afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datamill_producer.rabbitmq import PrivateNode, ensure_installation
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient

HANDLERS = Path(__file__).resolve().parents[1] / "handlers" / "dist"


@dataclass(frozen=True)
class Running:
    """What runs, and where."""

    home: Path
    broker_url: str
    builder: BuilderProcess

    @property
    def raw(self) -> Path:
        """The raw root."""
        return self.home / "raw"

    def client(self) -> PlainClient:
        """Return a connected client."""
        return PlainClient(self.broker_url)


@contextmanager
def service(**settings: str) -> Iterator[Running]:
    """Run a broker and a builder with the handlers of this checkout."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        home = Path(name)
        (home / "raw").mkdir()
        with PrivateNode(home / "broker", ensure_installation(log=print)) as node:
            url = node.url
            given = {"DATAMILL_HANDLER_SOURCES": str(HANDLERS), "DATAMILL_LOG_LEVEL": "INFO"}
            builder = BuilderProcess(home, url, **{**given, **settings})
            builder.start()
            try:
                yield Running(home, url, builder)
            finally:
                builder.stop()
