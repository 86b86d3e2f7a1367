"""Downloads are cut, their files replaced, their readers slow (fault 39)."""

from __future__ import annotations

import hashlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import update

from datamill.download import fetch
from datamill.errors import DigestMismatch
from datamill.source import Source
from datamill_builder.catalog import Catalog, schema
from datamill_builder.store import Store
from tests.support.archives import example, pack
from tests.support.catalog_steps import Steps
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fault import Fault
from tests.support.notifier import NotifierProcess

BIG_BYTES = 24 * 1024 * 1024
"""More than the buffers of both ends of a loopback connection."""
SLOW_READERS = 200
SLOW_BYTES_PER_SEC = 1024


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NotifierProcess, Steps]]:
    """A notifier with one large archive."""
    home = tmp_path_factory.mktemp("home")
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    archive = pack({"train": [[example(number=1, text=os.urandom(BIG_BYTES))]]})
    steps = Steps(catalog, Store(home / "store"), archive=archive).ready()
    notifier = NotifierProcess(home).start()
    yield notifier, steps
    assert notifier.stop() == 0
    assert "not foreseen" not in notifier.log()
    catalog.close()


@pytest.fixture
def proxy(served: tuple[NotifierProcess, Steps]) -> Iterator[CuttingProxy]:
    host, _, port = served[0].url.removeprefix("http://").rpartition(":")
    with CuttingProxy(host, int(port)) as running:
        yield running


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0], ids=["1%", "50%", "last"])
@pytest.mark.fault(39, "download cut")
def test_a_cut_download_goes_on_where_it_was_cut(
    served: tuple[NotifierProcess, Steps],
    proxy: CuttingProxy,
    fault: Fault,
    tmp_path: Path,
    share: float,
    reset: bool,
) -> None:
    archive = served[1].archive
    at = min(int(len(archive.body) * share), len(archive.body) - 1)
    proxy.cuts = [Cut(at, reset)]
    fault.injected()
    fetch(_source(proxy, served[1]), tmp_path / "part")
    secs = fault.recovered()
    assert (tmp_path / "part").read_bytes() == archive.body
    assert len(proxy.starts) == 2, "one cut, one resumption"
    # A reset throws away what was still under way.
    assert proxy.starts[1] == at if not reset else proxy.starts[1] <= at
    how = "reset" if reset else "closed"
    fault.saw(f"{how} after {at} bytes, went on at {proxy.starts[1]}, digest right, {secs:.1f} s")


@pytest.mark.fault(39, "file replaced by another while a download is resumed")
def test_two_files_are_never_glued_together(
    served: tuple[NotifierProcess, Steps], proxy: CuttingProxy, fault: Fault, tmp_path: Path
) -> None:
    steps = served[1]
    file = steps.store.archive_path(steps.archive.name)
    other = bytes(reversed(steps.archive.body))
    kept = file.with_suffix(".kept")

    def replace() -> None:
        file.rename(kept)
        file.write_bytes(other)
        _say(steps, other)

    proxy.cuts = [Cut(len(other) // 2, then=replace)]
    fault.injected()
    try:
        with pytest.raises(DigestMismatch):
            fetch(_source(proxy, steps), tmp_path / "part")
    finally:
        kept.replace(file)
        _say(steps, steps.archive.body)
    secs = fault.recovered()
    assert not (tmp_path / "part").exists()
    assert len(proxy.starts) <= 4, "no loop"
    fault.saw(f"DigestMismatch after {len(proxy.starts)} requests, nothing kept, {secs:.1f} s")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Range": "bytes={size}-"}, 416),
        ({"Range": "bytes=-0"}, 416),
        ({"Range": "bytes=0-0,5-9"}, 200),
        ({"Range": "pages=1-2"}, 200),
        ({"Range": "bytes=9-5"}, 200),
        ({"Range": "bytes=1-", "If-Range": '"{stale}"'}, 200),
        ({"Range": "bytes=1-", "If-Range": 'W/"{sha256}"'}, 200),
        ({"Range": "bytes=1-", "If-Range": "Wed, 21 Oct 2015 07:28:00 GMT"}, 200),
        ({"Range": "bytes=1-", "If-Range": '"{sha256}"'}, 206),
        ({"Range": "bytes={last}-"}, 206),
    ],
)
@pytest.mark.fault(39, "ranges that ask for nothing, for too much or by a stale validator")
def test_odd_ranges_get_what_the_standard_says(
    served: tuple[NotifierProcess, Steps], fault: Fault, fields: dict[str, str], status: int
) -> None:
    notifier, steps = served
    size, digest = len(steps.archive.body), hashlib.sha256(steps.archive.body).hexdigest()
    words = {"size": size, "last": size - 1, "sha256": digest, "stale": "0" * 64}
    asked = {name: value.format(**words) for name, value in fields.items()}
    answer = notifier.ask(f"/datasets/{steps.archive.name}", headers=asked)
    assert answer.status == status
    if status == 416:
        assert answer.headers["Content-Range"] == f"bytes */{size}"
    elif status == 200:
        assert answer.body == steps.archive.body, "everything, from the front"
        assert answer.headers["ETag"] == f'"{digest}"'
    else:
        first = int(answer.headers["Content-Range"].split()[1].split("-")[0])
        assert answer.body == steps.archive.body[first:]
    fault.saw(f"{' '.join(fields.values())}: {status}")


@pytest.mark.fault(39, "200 readers at 1 KiB/s")
def test_slow_readers_starve_nobody(
    served: tuple[NotifierProcess, Steps], fault: Fault, tmp_path: Path
) -> None:
    notifier, steps = served
    source = Source(
        (f"{notifier.url}/datasets/{steps.archive.name}",),
        len(steps.archive.body),
        hashlib.sha256(steps.archive.body).hexdigest(),
    )
    began = time.monotonic()
    fetch(source, tmp_path / "alone")
    alone_secs = time.monotonic() - began
    with _SlowReaders(notifier, f"/datasets/{steps.archive.name}") as slow:
        fault.injected()
        fetch(source, tmp_path / "beside")
        beside_secs = fault.recovered()
        assert notifier.ask("/healthz").status == 200
        assert notifier.numbers()["datamill_downloads_in_progress"] == SLOW_READERS
        assert slow.received >= SLOW_READERS, "they do read"
    assert (tmp_path / "beside").read_bytes() == steps.archive.body
    assert beside_secs < alone_secs + 10
    fault.saw(
        f"24 MiB in {beside_secs:.1f} s beside {SLOW_READERS} slow readers, "
        f"{alone_secs:.1f} s alone"
    )


class _SlowReaders:
    """Many connections that read so slowly that they would take hours, in one thread."""

    def __init__(self, notifier: NotifierProcess, path: str) -> None:
        self._notifier = notifier
        self._path = path
        self._stack = ExitStack()
        self._sockets: list[socket.socket] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.received = 0
        """How many reads brought something."""

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in self._sockets:
                selector.register(one, selectors.EVENT_READ)
            while not self._ending.wait(1.0):
                for key, _events in selector.select(0):
                    self.received += bool(key.fileobj.recv(SLOW_BYTES_PER_SEC))  # type: ignore[union-attr]

    def __enter__(self) -> _SlowReaders:
        host, _, port = self._notifier.url.removeprefix("http://").rpartition(":")
        for _ in range(SLOW_READERS):
            one = self._stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect((host, int(port)))
            one.sendall(f"GET {self._path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self._sockets.append(one)
        self._thread.start()
        deadline = time.monotonic() + 30
        while self.received < SLOW_READERS:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self

    def __exit__(self, *_error: object) -> None:
        self._ending.set()
        self._thread.join()
        self._stack.close()


def _source(proxy: CuttingProxy, steps: Steps) -> Source:
    body = steps.archive.body
    url = f"{proxy.url}/datasets/{steps.archive.name}"
    return Source((url,), len(body), hashlib.sha256(body).hexdigest())


def _say(steps: Steps, body: bytes) -> None:
    """Write into the catalog what the archive's file is now."""
    values = {
        "sha256": hashlib.sha256(body).hexdigest(),
        "archive_mark": steps.store.archive_mark(steps.archive.name),
    }
    with steps.catalog.write() as change:
        change.connection.execute(update(schema.builds).values(values))
