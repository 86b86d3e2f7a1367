"""The notifier is killed while many download from it (fault 12)."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from datamill.download import fetch
from datamill.source import Source
from datamill_builder.catalog import Catalog
from datamill_builder.store import Store
from tests.support.archives import example, pack
from tests.support.catalog_steps import Steps
from tests.support.fault import Fault
from tests.support.notifier import NotifierProcess

# More than sockets hold on their way: a download that was begun must notice the end of its server.
ARCHIVE_BYTES = 16_000_000


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Steps]:
    """A dataset that is ready, with a large archive."""
    payloads = [[example(data=os.urandom(ARCHIVE_BYTES // 4))] for _ in range(4)]
    archive = pack({"train": payloads}, content_key="c" * 64)
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield Steps(catalog, Store(tmp_path / "store"), archive=archive).ready()
    catalog.close()


@pytest.fixture
def notifier(tmp_path: Path, served: Steps) -> Iterator[NotifierProcess]:
    """A notifier that serves it, without a broker."""
    process = NotifierProcess(tmp_path).start()
    yield process
    process.stop()


@dataclass
class Download:
    """One client's download, which stops at gates on its way."""

    path: Path
    gates: Sequence[Gate]
    seen: list[int] = field(default_factory=list)

    def run(self, source: Source) -> str:
        fetch(source, self.path, self._on_progress)
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def _on_progress(self, done_bytes: int, _total: int) -> None:
        self.seen.append(done_bytes)
        for gate in self.gates:
            gate.pass_at(done_bytes)


class Gate:
    """Holds every download at some byte until it is opened; knows how many are there."""

    def __init__(self, at_bytes: int) -> None:
        self._at_bytes = at_bytes
        self._open = threading.Event()
        self._lock = threading.Lock()
        self.held = 0

    def pass_at(self, done_bytes: int) -> None:
        if done_bytes < self._at_bytes or self._open.is_set():
            return
        with self._lock:
            self.held += 1
        assert self._open.wait(120)

    def open(self) -> None:
        self._open.set()

    def wait_full(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while self.held < count:
            assert time.monotonic() < deadline, f"{self.held} of {count} downloads came so far"
            time.sleep(0.01)


@pytest.mark.parametrize("clients", [10, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.fault(12, "notifier killed during downloads, twice")
def test_downloads_go_on_where_they_were(
    tmp_path: Path, served: Steps, notifier: NotifierProcess, fault: Fault, clients: int
) -> None:
    archive = served.archive
    source = Source((f"{notifier.url}/datasets/{archive.name}",), len(archive.body), archive.sha256)
    gates = [Gate(1), Gate(ARCHIVE_BYTES // 2)]
    folder = tmp_path / "downloads"
    folder.mkdir()
    downloads = [Download(folder / str(number), gates) for number in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(download.run, source) for download in downloads]
        try:
            for gate in gates:
                gate.wait_full(clients)
                notifier.kill()
                fault.injected()
                gate.open()
                notifier.start()
        finally:
            for gate in gates:
                gate.open()
        digests = {done.result(120) for done in running}
    secs = fault.recovered()
    assert digests == {archive.sha256}
    for download in downloads:
        assert download.seen == sorted(download.seen), "none began again"
    assert notifier.stop() == 0
    megabytes = len(archive.body) // 10**6
    fault.saw(
        f"{clients} downloads of {megabytes} MB went on by range where they were, none from the "
        f"beginning, and had the right digest {secs:.1f} s after the second kill"
    )
