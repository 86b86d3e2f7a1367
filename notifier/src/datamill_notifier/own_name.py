"""What a running notifier is called in the log of downloads, and which others are gone."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from datamill.errors import SettingsError


class OwnName:
    """A new name, with a lock in the home that is free as soon as its notifier is gone."""

    def __init__(self, folder: Path) -> None:
        """Raise `SettingsError` where the folder can't be written."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._take()
        except OSError as error:
            raise SettingsError(f"{folder} can't be used: {error.strerror}") from error

    def _take(self) -> None:
        while True:
            self.name = uuid.uuid4().hex
            self._path = self._folder / f"{self.name}.lock"
            self._lock = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self._path.exists():
                return
            # Taken for one that is gone between its making and its locking.
            os.close(self._lock)

    def gone(self) -> list[str]:
        """Return the names of notifiers of this home that are gone."""
        names = [path.stem for path in self._folder.glob("*.lock")]
        return [name for name in names if self._if_free(name, lambda _path: None)]

    def forget(self, names: list[str]) -> None:
        """Remember no more that these are gone: nothing of them is left open in the log."""
        for name in names:
            self._if_free(name, lambda path: path.unlink(missing_ok=True))

    def release(self) -> None:
        """Give the name up: the next notifier here finds it free."""
        os.close(self._lock)

    def _if_free(self, name: str, then: Callable[[Path], None]) -> bool:
        path = self._folder / f"{name}.lock"
        if path == self._path:
            return False
        try:
            lock = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            then(path)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True
