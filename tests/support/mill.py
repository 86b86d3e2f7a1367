"""A builder with the handlers that ship, and who asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from datamill.archive import Manifest, read_manifest
from datamill_builder.catalog.schema import builds
from datamill_producer.up.descendants import descendants
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient


class Mill:
    """Settings are given as DATAMILL_… names."""

    def __init__(self, home: Path, url: str, wheels: Path, **settings: str) -> None:
        self.raw = home / "raw"
        self.raw.mkdir(parents=True)
        sources = {"DATAMILL_HANDLER_SOURCES": str(wheels)}
        self.builder = BuilderProcess(home, url, **sources, **settings).start()
        self._client = PlainClient(url)

    def ask(self, name: str, config: dict[str, Any]) -> str:
        """Ask for a dataset; return its id."""
        return self._client.ask(name, config=config)

    def wait(self, dataset_id: str, after: int = 0) -> dict[str, Any]:
        """Return a dataset's answer; `after`: so many events seen before are old."""
        return self._client.wait(dataset_id, timeout_secs=120, after=after)

    def build(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Ask for a dataset; return its answer."""
        before = len(self._client.events)  # the same may have been asked for of other raw data
        return self.wait(self.ask(name, config), before)

    def told(self, dataset_id: str, event: str) -> list[dict[str, Any]]:
        """Return the events of a kind about a dataset so far, in order."""
        about = [told for told in self._client.events if told["dataset_id"] == dataset_id]
        return [told for told in about if told["event"] == event]

    def manifest(self, ready: dict[str, Any]) -> Manifest:
        """Return the manifest of what is ready."""
        assert ready["event"] == "ready", ready
        return read_manifest(self.builder.store.archive_path(ready["archive"]))

    def seen(self, answer: dict[str, Any]) -> list[str]:
        """Return the names of the events about a dataset, in order."""
        return self._client.seen(answer["dataset_id"])

    def build_count(self) -> int:
        """Return how many builds there are in the catalog."""
        catalog = self.builder.catalog
        with catalog.read() as connection:
            count = connection.scalar(select(func.count()).select_from(builds))
        catalog.close()
        assert count is not None
        return count

    def processes(self) -> list[int]:
        """Return the ids of the builder and of all that it has started."""
        assert self.builder.process is not None
        return [self.builder.process.pid, *descendants(self.builder.process.pid)]

    def peak_bytes(self) -> int:
        """Return the most memory that any process of the builder's has had."""
        return max(map(_peak_bytes, self.processes()))

    def close(self) -> None:
        self._client.close()
        assert self.builder.stop() == 0


def _peak_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return max((int(peak) * 1024 for peak in peaks), default=0)
