"""The cache, with real processes at once."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datamill.archive import MANIFEST
from datamill.cache import Cache
from datamill.errors import ArchiveError, DownloadError, SettingsError
from datamill.source import Source
from tests.support.archives import CONTENT_KEY, PackedArchive, example, pack
from tests.support.file_server import FileServer

REPOSITORY = Path(__file__).resolve().parents[3]
UNLIMITED = 1 << 50


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def offer(server: FileServer) -> Callable[..., Source]:
    """Serve an archive; return its source."""

    def serve(archive: PackedArchive, **how: object) -> Source:
        url = server.add(f"/{archive.name}", archive.body, **how)
        return Source((url,), len(archive.body), archive.sha256)

    return serve


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Run Python code in a process of its own, with the cache's folder and a source."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, root: Path, source: Source) -> subprocess.Popen[str]:
        prelude = (
            "import sys; from pathlib import Path\n"
            "from datamill.cache import Cache; from datamill.source import Source\n"
            f"cache = Cache(Path({str(root)!r}), {UNLIMITED})\n"
            f"source = Source({source.urls!r}, {source.bytes}, {source.sha256!r})\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + code],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def archive_number(number: int) -> PackedArchive:
    records = [[example(number=number, text=bytes(1000))]]
    return pack({"train": records}, content_key=f"{number:064x}")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def age(cache: Cache, source: Source, secs: float) -> None:
    then = time.time() - secs
    os.utime(cache.root / "datasets" / source.sha256 / "lock", (then, then))


def test_a_dataset_is_downloaded_once(
    server: FileServer, offer: Callable[..., Source], tmp_path: Path
) -> None:
    archive = pack()
    source = offer(archive)
    folder = Cache(tmp_path, UNLIMITED).obtain(source, CONTENT_KEY)
    assert (folder / MANIFEST).read_bytes() == archive.manifest.encode()
    assert Cache(tmp_path, UNLIMITED).obtain(source, CONTENT_KEY) == folder
    assert server.count(f"/{archive.name}") == 1
    assert not list((tmp_path / "downloads").iterdir())
    assert not list((tmp_path / "scratch").iterdir())


def test_four_processes_at_once_download_once(
    server: FileServer,
    offer: Callable[..., Source],
    run: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    archive = pack()
    source = offer(archive)
    code = f"print(cache.obtain(source, {CONTENT_KEY!r}))"
    processes = [run(code, tmp_path, source) for _ in range(4)]
    answers = {process.communicate(timeout=30)[0] for process in processes}
    assert len(answers) == 1
    assert Path(answers.pop().strip(), MANIFEST).exists()
    assert server.count(f"/{archive.name}") == 1


def test_a_waiting_process_sees_the_others_progress_and_takes_over_when_it_dies(
    server: FileServer,
    offer: Callable[..., Source],
    run: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    import threading

    archive = pack({"train": [[example(number=1, text=os.urandom(4_000_000))]]})
    source = offer(archive, hold=threading.Event())
    served = server.files[f"/{archive.name}"]
    first = run(f"cache.obtain(source, {CONTENT_KEY!r})", tmp_path, source)
    part = tmp_path / "downloads" / f"{source.sha256}.part"
    until(lambda: sum(file.stat().st_size for file in part.glob("*")) >= len(archive.body) // 4)

    seen: list[int] = []

    def watch(done: int, _total: int) -> None:
        seen.append(done)
        if len(seen) == 1:
            first.send_signal(signal.SIGKILL)
            held, served.hold = served.hold, None
            assert held is not None
            held.set()

    folder = Cache(tmp_path, UNLIMITED).obtain(source, CONTENT_KEY, watch)
    assert (folder / MANIFEST).exists()
    assert seen[0] >= len(archive.body) // 4
    ranges = [asked for _method, _path, asked in server.requests]
    assert ranges[0] is None
    assert ranges[1] is not None  # the dead process's half was not fetched again


def test_a_broken_archive_is_not_kept(offer: Callable[..., Source], tmp_path: Path) -> None:
    source = offer(pack())
    cache = Cache(tmp_path, UNLIMITED)
    with pytest.raises(ArchiveError, match="holds content"):
        cache.obtain(source, "cd" * 32)
    assert cache.find(source.sha256) is None
    assert not list((tmp_path / "datasets").iterdir())
    assert not list((tmp_path / "downloads").glob("*.part"))


def test_a_dataset_that_lost_a_file_is_fetched_again(
    server: FileServer, offer: Callable[..., Source], tmp_path: Path
) -> None:
    archive = pack()
    source = offer(archive)
    cache = Cache(tmp_path, UNLIMITED)
    folder = cache.obtain(source, CONTENT_KEY)
    (folder / archive.manifest.shards[1].file).unlink()
    assert cache.find(source.sha256) is None
    assert cache.obtain(source, CONTENT_KEY) == folder
    assert (folder / archive.manifest.shards[1].file).exists()
    assert server.count(f"/{archive.name}") == 2


def test_what_was_unused_longest_goes_first(
    offer: Callable[..., Source], run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    archives = [archive_number(n) for n in range(3)]
    sources = [offer(archive) for archive in archives]
    for number, source in enumerate(sources[:2]):
        code = f"cache.obtain(source, '{number:064x}')"
        assert run(code, tmp_path, source).wait(20) == 0
    cache = Cache(tmp_path, sum(len(archive.body) for archive in archives[:2]) + 10)
    age(cache, sources[0], 100)
    age(cache, sources[1], 200)
    cache.obtain(sources[2], f"{2:064x}")
    left = {entry.name for entry in (tmp_path / "datasets").iterdir()}
    assert left == {sources[0].sha256, sources[2].sha256}


def test_what_a_live_process_uses_stays(
    offer: Callable[..., Source], run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    archives = [archive_number(n) for n in range(3)]
    used, new, newer = (offer(archive) for archive in archives)
    user = run(
        f"print(cache.obtain(source, '{0:064x}'), flush=True); sys.stdin.read()", tmp_path, used
    )
    assert user.stdout is not None
    folder = Path(user.stdout.readline().strip())
    cache = Cache(tmp_path, 10)
    age(cache, used, 1000)
    cache.obtain(new, f"{1:064x}")
    assert (folder / MANIFEST).exists()
    user.communicate("", timeout=20)
    cache.obtain(newer, f"{2:064x}")
    assert not folder.exists()
    assert cache.find(new.sha256)  # this process uses it


def test_a_cache_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="DATAMILL_CACHE"):
        Cache(tmp_path / "file" / "cache", UNLIMITED)


def test_a_disk_that_is_too_small_is_said_before_the_download(
    server: FileServer, tmp_path: Path
) -> None:
    source = Source((server.url + "/x",), 1 << 60, "0" * 64)
    with pytest.raises(DownloadError, match="DATAMILL_CACHE"):
        Cache(tmp_path, UNLIMITED).obtain(source, CONTENT_KEY)
    assert server.requests == []


def test_a_ready_event_is_remembered(offer: Callable[..., Source], tmp_path: Path) -> None:
    archive = pack()
    ready = archive.ready("12" * 32, "http://127.0.0.1:9")
    cache = Cache(tmp_path, UNLIMITED)
    cache.remember(ready)
    assert cache.recall(ready.dataset_id) is None  # known, but not here
    cache.obtain(offer(archive), CONTENT_KEY)
    assert cache.recall(ready.dataset_id) == ready
    assert cache.recall("34" * 32) is None
    (tmp_path / "ids" / f"{ready.dataset_id}.json").write_text("{")
    assert cache.recall(ready.dataset_id) is None


def test_early_shards_are_kept_and_verified(server: FileServer, tmp_path: Path) -> None:
    body = os.urandom(1000)
    url = server.add("/shards/0", body, bodies=[bytes(1000)])
    import hashlib

    source = Source((url,), len(body), hashlib.sha256(body).hexdigest())
    cache = Cache(tmp_path, UNLIMITED)
    path = cache.obtain_shard("12" * 32, 0, source)
    assert path.read_bytes() == body
    assert cache.obtain_shard("12" * 32, 0, source) == path
    assert server.count("/shards/0") == 2  # the first answer was wrong


def test_leftovers_of_dead_processes_go_and_those_of_live_ones_stay(tmp_path: Path) -> None:
    cache = Cache(tmp_path, UNLIMITED)
    dead, alive, young = (tmp_path / "scratch" / name for name in ("dead", "alive", "young"))
    for folder in (dead, alive, young):
        folder.mkdir()
    (dead / "lock").touch()
    old = tmp_path / "downloads" / "old.part"
    recent = tmp_path / "downloads" / "recent.part"
    for part in (old, recent):
        part.write_bytes(b"x")
    then = time.time() - 8 * 86400
    os.utime(old, (then, then))
    with (alive / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cache.sweep()
    assert sorted(p.name for p in (tmp_path / "scratch").iterdir()) == ["alive", "young"]
    assert [p.name for p in (tmp_path / "downloads").iterdir()] == ["recent.part"]
