"""A part of the service as a child process that is started again when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from datamill import exits
from datamill_producer.rabbitmq.children import Child, tied
from datamill_producer.up.console import Console

FIRST_PAUSE_SECS = 0.5
"""Pause before the first restart; it doubles with each that follows."""
LONGEST_PAUSE_SECS = 30.0
HEALTHY_SECS = 60.0
"""A part that ran so long has its pauses begin anew."""
READER_SECS = 1.0
HOPELESS = (exits.EX_NOPERM, exits.EX_CONFIG)
"""Exit codes after which starting again changes nothing."""


class Part:
    """Builder or notifier. Started, looked at and stopped by the main thread.

    It has a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone, and
    it gets SIGTERM when this process is gone, however it went.
    """

    def __init__(self, name: str, command: Sequence[str], console: Console, lock: int) -> None:
        """`lock` is a descriptor that the child holds for as long as it lives."""
        self.name = name
        self.restarts = 0
        """Restarts in a row, none of them healthy."""
        self._command = command
        self._console = console
        self._lock = lock
        self._child: Child | None = None
        self._reader: threading.Thread | None = None
        self._started_at = 0.0
        self._start_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the one that runs, or ran last."""
        return self._child.process.pid if self._child else None

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it."""
        process = subprocess.Popen(
            tied(self._command, signal.SIGTERM),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(self._lock,),
            text=True,
            errors="replace",
        )
        self._child = Child(process)
        self._started_at, self._start_at = time.monotonic(), None
        assert process.stdout is not None
        # A thread reads what the main one has no time for: a full pipe would stop the part.
        self._reader = threading.Thread(
            target=self._read, args=(process.stdout,), name=f"log of {self.name}", daemon=True
        )
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._console.show(self.name, line.rstrip("\n"))

    def ended(self) -> int | None:
        """Return the exit code of one that ended by itself just now; negative for a signal."""
        if self._start_at is not None or self._child is None or self._child.alive():
            return None
        self._child.kill()  # what it may have left in its process group
        if time.monotonic() - self._started_at > HEALTHY_SECS:
            self.restarts = 0
        pause = min(LONGEST_PAUSE_SECS, FIRST_PAUSE_SECS * 2**self.restarts)
        self._start_at = time.monotonic() + pause
        self.restarts += 1
        return self._child.process.returncode

    @property
    def pause_secs(self) -> float | None:
        """Seconds until it is to be started again; None where it runs."""
        if self._start_at is None:
            return None
        return max(0.0, self._start_at - time.monotonic())

    def stop(self, timeout_secs: float) -> bool:
        """Ask it to end, kill it if it does not; return whether it ended as asked."""
        if self._child is None:
            return True
        self._child.stop(timeout_secs)
        if self._reader:
            self._reader.join(READER_SECS)
        return self._child.process.returncode >= 0

    def kill(self) -> None:
        """Send SIGKILL to it and its process group; wait for nothing (for signal handlers)."""
        if self._child and self._child.process.returncode is None:
            try:
                os.killpg(self._child.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
