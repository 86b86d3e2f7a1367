"""A disk so small that a test can fill it: a tmpfs, mounted for one test."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

SIZE_BYTES = 16 * 1024 * 1024


class SmallDisk:
    """A file system of its own in a folder; use it in a `with`. Skips where none can be mounted."""

    def __init__(self, folder: Path, size_bytes: int = SIZE_BYTES) -> None:
        self.folder = folder
        self._size_bytes = size_bytes
        self._filler = folder / "filler"

    def fill(self, leaving_bytes: int = 0) -> None:
        """Leave so much room, rounded down to pages."""
        self.free()
        with self._filler.open("wb") as filler:
            while (room := self.free_bytes() - leaving_bytes) > 0:
                # Others may be faster than this.
                with contextlib.suppress(OSError):
                    os.posix_fallocate(filler.fileno(), self._filler.stat().st_size, room)

    def free(self) -> None:
        """Take away what filled it."""
        self._filler.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = f"size={self._size_bytes},mode=0755"
        mount = ["mount", "-t", "tmpfs", "-o", options, "datamill-test", str(self.folder)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            words = done.stderr.strip()
            pytest.skip(f"needs to mount a tmpfs: as root, or under `unshare -rm` ({words})")
        return self

    def __exit__(self, *_error: object) -> None:
        # Lazily: a process that is just ending may be in it.
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
