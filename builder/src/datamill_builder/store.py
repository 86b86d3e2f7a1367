"""The store: where plans, shards, wheels and archives of this machine are kept.

Whatever others may see appears by a rename of a file that is complete and synced; until then it
lives under `scratch/`, in a folder whose lock tells whether its owner is alive.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK_NAME = ".lock"


_SHARD_NAME = re.compile(r"\d+-(\d+)\.tfrecord")


class Store:
    """A folder. Safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._archives = root / "archives"
        self._shards = root / "shards"
        self._plans = root / "plans"
        self._wheels = root / "wheels"
        self._quarantine = root / "quarantine"
        self._scratch = root / "scratch"
        for folder in (self._archives, self._shards, self._plans, self._wheels, self._scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def is_there(self) -> bool:
        """Return whether the store is where it was when this was started: a disk may be gone."""
        return self._archives.is_dir() and self._scratch.is_dir()

    # --- archives ---

    def archive_path(self, name: str) -> Path:
        """Return where an archive is or would be."""
        return self._archives / name

    def archive_names(self) -> list[str]:
        """Return the names of what is in the public folder."""
        return sorted(path.name for path in self._archives.iterdir())

    def archive_mark(self, name: str) -> str | None:
        """Return what changes whenever an archive's file changes; None where it is gone."""
        return file_mark(self.archive_path(name))

    def keep_archive(self, temporary: Path, name: str) -> str:
        """Move a finished, synced file to its public name; return its mark."""
        _move(temporary, self.archive_path(name))
        mark = self.archive_mark(name)
        assert mark is not None
        return mark

    def take_archive(self, name: str, folder: Path) -> None:
        """Move an archive into a scratch folder, if it is there; whoever has it open reads on."""
        with suppress(FileNotFoundError):
            self.archive_path(name).replace(folder / "archive")

    def quarantine_archive(self, name: str) -> Path | None:
        """Take a damaged archive out of the public folder; return where it is now."""
        return self._set_aside(self.archive_path(name), name)

    def quarantine_shard(self, content_key: str, file: str) -> Path | None:
        """Take a damaged shard from the others of its build; return where it is now."""
        return self._set_aside(self.shard_path(content_key, file), f"{content_key}-{file}")

    def quarantined(self) -> list[Path]:
        """Return what was found damaged, and is kept to be looked at."""
        return sorted(self._quarantine.iterdir()) if self._quarantine.is_dir() else []

    def _set_aside(self, path: Path, name: str) -> Path | None:
        self._quarantine.mkdir(exist_ok=True)
        target = self._quarantine / name
        try:
            path.replace(target)
        except FileNotFoundError:
            return None
        return target

    # --- shards ---

    def shard_path(self, content_key: str, file: str) -> Path:
        """Return where a shard's file is."""
        return self._shards / content_key / file

    def keep_shard(self, temporary: Path, content_key: str, index: int, fence: int) -> str:
        """Move a finished, synced shard to a name of its own; return the name.

        The fence is part of the name, so that an owner that was given up can't touch the file
        of the one that came after it.
        """
        file = f"{index:05d}-{fence}.tfrecord"
        target = self.shard_path(content_key, file)
        target.parent.mkdir(exist_ok=True)
        _move(temporary, target)
        return file

    def drop_shard(self, content_key: str, file: str) -> None:
        """Delete a shard's file."""
        self.shard_path(content_key, file).unlink(missing_ok=True)

    def take_shards(self, content_key: str, folder: Path) -> None:
        """Move all shard files of a build into a scratch folder, if there are any."""
        with suppress(FileNotFoundError):
            (self._shards / content_key).replace(folder / "shards")

    def shard_files(self, content_key: str) -> dict[str, int]:
        """Return the fence of each shard file that a build has."""
        with suppress(FileNotFoundError):
            names = [path.name for path in (self._shards / content_key).iterdir()]
            found = ((name, _SHARD_NAME.fullmatch(name)) for name in names)
            return {name: int(match[1]) for name, match in found if match}
        return {}

    def shard_folders(self) -> list[str]:
        """Return the content keys that have shard files."""
        return sorted(folder.name for folder in self._shards.iterdir())

    # --- plans and wheels ---

    def plan_path(self, content_key: str, split: str) -> Path:
        """Return where the plan of a split is: a JSON line per source item."""
        return self._plans / content_key / f"{split}.jsonl"

    def keep_plan(self, temporary: Path, content_key: str, split: str) -> None:
        """Move the finished plan of a split to its place."""
        target = self.plan_path(content_key, split)
        target.parent.mkdir(exist_ok=True)
        _move(temporary, target)

    def wheel_path(self, sha256: str, name: str) -> Path:
        """Return where a handler release's wheel is."""
        return self._wheels / sha256 / name

    def keep_wheel(self, temporary: Path, sha256: str) -> Path:
        """Move a wheel to its place."""
        target = self.wheel_path(sha256, temporary.name)
        target.parent.mkdir(exist_ok=True)
        _move(temporary, target)
        return target

    # --- scratch ---

    def open_scratch(self) -> ScratchFolder:
        """Return a new folder on the store's file system; the caller closes it."""
        return ScratchFolder(self._scratch)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder of the store's file system that goes away at the end."""
        folder = ScratchFolder(self._scratch)
        try:
            yield folder.path
        finally:
            folder.close()

    def sweep(self) -> int:
        """Delete scratch folders whose owners are gone; return how many."""
        return sum(_if_abandoned(folder, _delete) for folder in self._scratch.iterdir())

    def abandoned(self) -> list[Path]:
        """Return the scratch folders that a sweep would delete."""
        folders = self._scratch.iterdir()
        return [folder for folder in folders if _if_abandoned(folder, lambda _folder: None)]


class ScratchFolder:
    """A folder with a lock that is free as soon as its process is gone."""

    def __init__(self, parent: Path) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(dir=parent))
            try:
                self._lock = os.open(self.path / _LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
            except OSError:
                self.path.rmdir()  # without a lock nobody would ever sweep it away
                raise
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if (self.path / _LOCK_NAME).exists():
                return
            # Swept away between its making and its locking.
            os.close(self._lock)

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def file_mark(path: Path) -> str | None:
    """Return size, modification time and inode of a file as one text; None where it is gone."""
    try:
        return mark_of(path.stat())
    except FileNotFoundError:
        return None


def mark_of(found: os.stat_result) -> str:
    """Return what `file_mark` returns, of a file that is open already."""
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"


def free_bytes(folder: Path) -> int:
    """Return how much room is left on a folder's disk, for who is no administrator."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def sync(path: Path) -> None:
    """Make a file's content survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(temporary: Path, target: Path) -> None:
    """Give a file its name; a change that is made once more finds that done."""
    if target.exists() and not temporary.exists():
        return
    sync(temporary)
    temporary.replace(target)
    sync(target.parent)


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _if_abandoned(folder: Path, then: Callable[[Path], None]) -> bool:
    """Do something to a scratch folder whose owner is gone; return whether it is."""
    try:
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False  # just made, or just going away; or nothing of ours
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Under the lock: who makes a folder sees, once it has the lock, whether it is still there.
        then(folder)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
