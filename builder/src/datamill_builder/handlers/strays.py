"""What a handler has started in a session of its own, so that no process group holds it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_PROC = Path("/proc")


def kill_strays(workdir: Path) -> None:
    """Kill the processes that have a handler's working folder as their home: it is theirs alone.

    Looks where there is a `/proc`; who changes its environment is not found.
    """
    mark = b"HOME=" + os.fsencode(workdir)
    for folder in _PROC.glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue  # another user's, or gone meanwhile
