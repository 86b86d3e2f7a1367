"""Runs one command that ends when the process that started it ends, however that ends.

    python -I -S launcher.py exec|watch <signal's number> <parent's pid> <command> [argument …]

Started as a script of its own, by path: it imports nothing of Datamill. `exec` (Linux) asks the
kernel for a signal at the parent's death and becomes the command. The kernel means the parent's
*thread*, so it is for the main thread. `watch` stays as the command's parent and looks.

SIGKILL for the broker: RabbitMQ 4.3 loses a SIGTERM that comes while it boots, and then lives on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
LOOK_SECS = 0.25
"""How often `watch` looks for its parent."""
END_SECS = 20.0
"""How long a command may take to end by another signal than SIGKILL."""


def become(number: int, parent: int, command: list[str]) -> None:
    """Turn into the command, with the kernel watching the parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() == parent:  # else it died before the kernel was asked
        os.execvp(command[0], command)


def watch(number: int, parent: int, command: list[str]) -> int:
    """Run the command, signal it when the parent is gone; return its exit code."""
    child = subprocess.Popen(command, close_fds=False)  # it too holds the lock that was passed on

    def pass_on(received: int, frame: FrameType | None) -> None:
        child.send_signal(received)

    signal.signal(signal.SIGTERM, pass_on)
    while os.getppid() == parent:
        try:
            return child.wait(LOOK_SECS)
        except subprocess.TimeoutExpired:
            continue
    child.send_signal(number)
    try:
        return child.wait(END_SECS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def main(mode: str, number: str, parent: str, *command: str) -> int:
    """Do what the command line says; return the exit code."""
    if mode == "exec":
        become(int(number), int(parent), list(command))
        return 1
    code = watch(int(number), int(parent), list(command))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
