"""The trainer's cache: unpacked datasets, shared by the processes of a machine.

    datasets/<sha256 of the archive>/files/…   an unpacked archive, with `lock` and `size` beside
    early/<content key>/files/…                shards fetched while their build runs
    ids/<dataset id>.json                      the last `ready` of a dataset, for offline use
    downloads/<sha256>.part, .lock             a download, and who is at it (a folder, where it is
                                               an archive, which is taken apart as it comes)
    scratch/                                   what is being made or taken away

A dataset appears by the rename of a folder that is whole, verified and synced. Whoever uses one
holds a shared flock on its `lock` until its process ends, and only what nobody holds is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from datamill.archive import MANIFEST, ArchivePart, Manifest
from datamill.errors import ArchiveError, DecodeError, DownloadError, SettingsError
from datamill.events import Ready, decode_event
from datamill.source import ProgressCallback, Source

log = logging.getLogger(__name__)

_FILES = "files"
_LOCK = "lock"
_SIZE = "size"
_LOOK_AGAIN_SECS = 0.2
_PARTIAL_KEPT_SECS = 7 * 86400.0
"""An abandoned download is kept so long, to be resumed."""


class Cache:
    """A folder, safe for several processes and threads at once."""

    def __init__(self, root: Path, budget_bytes: int, streams: int = 4) -> None:
        self.root = root
        self._streams = streams
        self._budget_bytes = budget_bytes
        self._datasets = root / "datasets"
        self._early = root / "early"
        self._ids = root / "ids"
        self._downloads = root / "downloads"
        self._scratch = root / "scratch"
        try:
            for folder in (self._datasets, self._early, self._ids, self._downloads, self._scratch):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"DATAMILL_CACHE: {root} can't be used: {error}") from error

    # --- datasets ---

    def find(self, sha256: str) -> Path | None:
        """Return the folder of an unpacked archive, held for this process; None if it is not here.

        One that lost files is taken away.
        """
        entry = self._datasets / sha256
        if not _hold(entry):
            return None
        if _is_whole(entry / _FILES):
            return entry / _FILES
        log.warning("%s was damaged in the cache; it will be fetched again", sha256[:12])
        self._remove(entry)
        return None

    def obtain(
        self, source: Source, content_key: str, progress: ProgressCallback | None = None
    ) -> Path:
        """Return the folder of an unpacked archive, downloaded if it is not here.

        When several processes ask at once, one downloads, and the others wait and report its
        progress as theirs. Raises `DownloadError` or `ArchiveError`.
        """
        if found := self.find(source.sha256):
            return found
        with self._downloading(source, progress) as part:
            if found := self.find(source.sha256):
                return found
            self._make_room(source.bytes - _size_of(part), source.bytes)
            self._receive(source, part, content_key, progress)
        folder = self.find(source.sha256)
        if folder is None:
            raise DownloadError(f"{source.sha256[:12]} was removed from the cache at once")
        return folder

    def _receive(
        self, source: Source, folder: Path, content_key: str, progress: ProgressCallback | None
    ) -> None:
        from datamill.download import fetch_into  # loaded where there is something to fetch

        with ArchivePart(folder, source.bytes) as part:
            fetch_into(source, part, progress, self._streams)
            try:
                part.finish(content_key)
            except ArchiveError:
                part.discard()  # it came as announced: fetching it again would change nothing
                raise
        with self._temporary() as temporary:
            entry = temporary / source.sha256
            entry.mkdir()
            (entry / _LOCK).touch()
            (entry / _SIZE).write_text(str(source.bytes), encoding="ascii")
            folder.rename(entry / _FILES)
            entry.rename(self._datasets / source.sha256)

    # --- early shards ---

    def obtain_shard(self, content_key: str, index: int, source: Source) -> Path:
        """Return one shard's file, downloaded if it is not here. Raises `DownloadError`."""
        from datamill.download import fetch

        entry = self._early / content_key
        path = entry / _FILES / f"{index:05d}-{source.sha256}.tfrecord"
        _hold_new(entry)
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            return path
        with self._downloading(source, None) as part:
            if not path.exists():
                self._make_room(source.bytes, source.bytes)
                fetch(source, part)
                part.rename(path)
        return path

    # --- what was ready ---

    def remember(self, ready: Ready) -> None:
        """Keep a `ready` event, for when there is no service to ask."""
        with self._temporary() as temporary:
            file = temporary / "ready.json"
            file.write_bytes(ready.encode())
            file.rename(self._ids / f"{ready.dataset_id}.json")

    def remembers(self, dataset_id: str) -> bool:
        """Return whether a dataset was ready once; `recall` tells whether it still is here."""
        return (self._ids / f"{dataset_id}.json").exists()

    def recall(self, dataset_id: str) -> Ready | None:
        """Return the last `ready` event of a dataset that is in the cache, whole."""
        try:
            event = decode_event((self._ids / f"{dataset_id}.json").read_bytes())
        except (FileNotFoundError, DecodeError):
            return None
        return event if isinstance(event, Ready) and self.find(event.sha256) else None

    # --- downloads ---

    @contextlib.contextmanager
    def _downloading(self, source: Source, progress: ProgressCallback | None) -> Iterator[Path]:
        """Be the one who downloads this; give the file to write to."""
        part = self._downloads / f"{source.sha256}.part"
        lock = FileLock(part.with_suffix(".lock"), thread_local=False)
        while True:
            try:
                lock.acquire(timeout=_LOOK_AGAIN_SECS, poll_interval=0.02)
                break
            except Timeout:
                if progress:
                    progress(min(_size_of(part), source.bytes), source.bytes)
        try:
            yield part
        finally:
            if not part.exists():
                # Removed while it is held: whoever waits for it notices and makes a new one.
                part.with_suffix(".lock").unlink(missing_ok=True)
            lock.release()

    # --- room ---

    def _make_room(self, needed_bytes: int, kept_bytes: int) -> None:
        """Remove what was unused longest until there is room in the budget and on the disk.

        Raises `DownloadError` if the disk is too full for it all the same.
        """
        self.sweep()
        entries = sorted([*_entries(self._datasets), *_entries(self._early)], key=_used_at)
        total = sum(_entry_bytes(entry) for entry in entries)
        while entries and (total + kept_bytes > self._budget_bytes or not self._fits(needed_bytes)):
            entry = entries.pop(0)
            size = _entry_bytes(entry)
            if self._remove_unused(entry):
                total -= size
        if not self._fits(needed_bytes):
            raise DownloadError(
                f"{needed_bytes} bytes are needed in {self.root}, and the disk has "
                f"{shutil.disk_usage(self.root).free}; free some, or set DATAMILL_CACHE"
            )
        if total + kept_bytes > self._budget_bytes:
            log.warning("the cache holds more than its budget: what is in use needs more")

    def _fits(self, needed_bytes: int) -> bool:
        return shutil.disk_usage(self.root).free >= needed_bytes

    def _remove_unused(self, entry: Path) -> bool:
        with _exclusive(entry / _LOCK) as unused:
            if unused:
                log.info("removing %s from the cache", entry.name[:12])
                self._remove(entry)
        return unused

    def _remove(self, entry: Path) -> None:
        _release(entry)
        with self._temporary() as temporary, contextlib.suppress(FileNotFoundError):
            entry.rename(temporary / entry.name)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        """Give a folder that goes away with its user; its lock tells whether that one lives."""
        folder, lock = self._locked_folder()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def _locked_folder(self) -> tuple[Path, int]:
        while True:
            folder = Path(tempfile.mkdtemp(dir=self._scratch))
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_same(lock, folder / _LOCK):
                return folder, lock
            os.close(lock)  # somebody swept between the last two calls

    def sweep(self) -> None:
        """Remove what ended processes left half done, but for downloads that may be resumed."""
        for folder in self._scratch.iterdir():
            with _exclusive(folder / _LOCK) as abandoned:
                if abandoned:
                    shutil.rmtree(folder, ignore_errors=True)
        for part in self._downloads.glob("*.part"):
            if time.time() - _changed_at(part) > _PARTIAL_KEPT_SECS:
                self._drop_partial(part)

    def _drop_partial(self, part: Path) -> None:
        lock = FileLock(part.with_suffix(".lock"), blocking=False)
        with contextlib.suppress(Timeout), lock:
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
            part.with_suffix(".lock").unlink(missing_ok=True)


_held: dict[Path, int] = {}
"""The descriptors whose shared locks this process holds, by entry."""
_held_guard = threading.Lock()
os.register_at_fork(
    before=_held_guard.acquire,
    after_in_parent=_held_guard.release,
    after_in_child=_held_guard.release,
)


def _hold(entry: Path) -> bool:
    """Keep an entry from being removed until this process ends; False if it is not there."""
    lock = entry / _LOCK
    with _held_guard:
        if entry in _held and _is_same(_held[entry], lock):
            os.utime(lock)
            return True
        if entry in _held:
            os.close(_held.pop(entry))
        while True:
            try:
                descriptor = os.open(lock, os.O_RDWR)
            except FileNotFoundError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_same(descriptor, lock):
                _held[entry] = descriptor
                os.utime(lock)
                return True
            os.close(descriptor)  # it was removed, or replaced, while we waited


def _hold_new(entry: Path) -> None:
    """Make an entry if it is not there, and hold it; others may be removing it meanwhile."""
    while not _hold(entry):
        entry.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (entry / _LOCK).touch()


def _release(entry: Path) -> None:
    with _held_guard:
        if entry in _held:
            os.close(_held.pop(entry))


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _exclusive(lock: Path) -> Iterator[bool]:
    """Tell whether nobody holds a lock file, and hold it meanwhile."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        yield False  # just being made, or just gone
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unused = _is_same(descriptor, lock)
    except BlockingIOError:
        unused = False
    try:
        yield unused
    finally:
        os.close(descriptor)


def _is_whole(files: Path) -> bool:
    """Return whether an unpacked archive has all its shards, in their sizes."""
    try:
        manifest = Manifest.decode((files / MANIFEST).read_bytes())
        return all((files / s.file).stat().st_size == s.bytes for s in manifest.shards)
    except (OSError, ArchiveError):
        return False


def _entries(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if (entry / _LOCK).exists())


def _used_at(entry: Path) -> float:
    return _changed_at(entry / _LOCK)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _entry_bytes(entry: Path) -> int:
    try:
        return int((entry / _SIZE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return sum(_size_of(file) for file in (entry / _FILES).glob("*"))


def _size_of(path: Path) -> int:
    """Return the bytes of a file, or of the files in a folder."""
    try:
        if path.is_dir():
            return sum(_size_of(file) for file in path.iterdir())
        return path.stat().st_size
    except FileNotFoundError:
        return 0
