"""One owner per node folder, and no second node while a predecessor's is still ending."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from datamill_producer.rabbitmq.errors import FolderInUse

LOOK_SECS = 0.05


class FolderLock:
    """Two locks, given back by the kernel when their holders are gone.

    `owner` is held by this process alone. `children` is inherited by the node and its epmd, so
    that whoever comes after a killed owner waits until those have ended too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner: int | None = None
        self._children: int | None = None

    @property
    def children(self) -> int:
        """The descriptor that children must inherit."""
        if self._children is None:
            raise RuntimeError("the folder is not locked")
        return self._children

    def acquire(self, timeout_secs: float) -> None:
        """Become the owner, or raise `FolderInUse` (at once if there is a living owner)."""
        if self._owner is not None:
            return
        owner = os.open(self._folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _try_lock(owner):
            pid = os.pread(owner, 20, 0).decode("ascii", "replace").strip()
            os.close(owner)
            raise FolderInUse(
                f"{self._folder} is in use: process {pid or 'unknown'} runs its RabbitMQ node there"
            )
        os.ftruncate(owner, 0)
        os.pwrite(owner, str(os.getpid()).encode("ascii"), 0)
        self._owner = owner
        try:
            self._children = self._wait_for_predecessor(time.monotonic() + timeout_secs)
        except BaseException:
            self.release()
            raise

    def _wait_for_predecessor(self, deadline: float) -> int:
        path = self._folder / "children.lock"
        children = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not _try_lock(children):
            if time.monotonic() > deadline:
                os.close(children)
                raise FolderInUse(f"{self._folder}: the node of an ended process still runs there")
            time.sleep(LOOK_SECS)
        return children

    def release(self) -> None:
        """Give both locks back; nothing happens if they are not held."""
        for held in (self._children, self._owner):
            if held is not None:
                fcntl.flock(held, fcntl.LOCK_UN)  # whatever copies of the descriptor there are
                os.close(held)
        self._children = self._owner = None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
