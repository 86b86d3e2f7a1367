"""One fault of the table: what it is, what was seen, how long it took to recover.

Each test of a fault writes what it saw into a file of its own, from which `docs/faults.md` is
made (`python -m tests.faults.report`).
"""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from datamill_producer.rabbitmq import PrivateNode
from tests.support import invariants
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "faults"


class Fault:
    """A fault while a test injects it. `number`: its row in the table of faults."""

    def __init__(self, number: int, what: str, test: str, node: PrivateNode | None) -> None:
        self.number = number
        self.what = what
        self._test = test
        self._node = node
        self._injected_at: float | None = None
        self._secs: float | None = None
        self._seen: list[str] = []
        self._checks: list[Callable[[], None]] = []

    def injected(self) -> None:
        """Say that it happens now."""
        self._injected_at = time.monotonic()

    @property
    def injected_at(self) -> float:
        """When it happened, by the monotonic clock."""
        assert self._injected_at is not None, "no fault was injected yet"
        return self._injected_at

    def recovered(self) -> float:
        """Say that all is well again; return the seconds that took."""
        assert self._injected_at is not None, "a fault is over that was not injected"
        self._secs = time.monotonic() - self._injected_at
        return self._secs

    def saw(self, text: str) -> None:
        """Note what was observed, for the report."""
        self._seen.append(text)

    def watch(self, builder: BuilderProcess, *clients: PlainClient) -> None:
        """Check all invariants on a builder's home, and on what clients were told, at the end.

        A builder must run there at the end: it is what clears up.
        """
        self._checks.append(partial(self._check, builder, clients))

    def _check(self, builder: BuilderProcess, clients: tuple[PlainClient, ...]) -> None:
        assert self._node is not None, "a builder is watched without a broker"
        catalog = builder.catalog
        depths = partial(invariants.queue_depths, self._node, builder.broker_url)
        try:
            invariants.hold(catalog, builder.store, depths, clients)
        finally:
            catalog.close()

    def end(self) -> None:
        """Check the invariants, and write down what was seen."""
        for check in self._checks:
            check()
        assert self._seen, f"fault {self.number}: the test says nothing of what it saw"
        FOLDER.mkdir(parents=True, exist_ok=True)
        document = {
            "number": self.number,
            "what": self.what,
            "seen": self._seen,
            "secs": self._secs,
            "invariants": len(self._checks),
        }
        # Parameters may hold what no file's name can.
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", self._test)[:80]
        name = f"{self.number:02d}-{slug}-{zlib.crc32(self._test.encode()):08x}.json"
        (FOLDER / name).write_text(json.dumps(document), encoding="utf-8")
