"""An open file: what was looked at is what is sent, whatever becomes of its name meanwhile."""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path
from types import TracebackType

from datamill_builder.store import mark_of

# O_NONBLOCK: opening a pipe that somebody put there must not wait for its other end.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class HeldFile:
    """A plain file, open for reading. `mark` changes whenever the file does."""

    def __init__(self, path: Path) -> None:
        """Raise `FileNotFoundError` where there is no plain file (a link is none)."""
        self.file = _opened(path)
        found = os.fstat(self.file.fileno())
        self.size = found.st_size
        self.mark = mark_of(found)

    def is_unchanged(self) -> bool:
        """Return whether the file is as it was when it was opened."""
        return mark_of(os.fstat(self.file.fileno())) == self.mark

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def __enter__(self) -> HeldFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _opened(path: Path) -> FileIO:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise FileNotFoundError(str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError("no plain file")
    return FileIO(descriptor, "rb")
