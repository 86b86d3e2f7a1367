"""Child processes that don't outlive this one, each in a process group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True)
class Surroundings:
    """What the children of one node share: environment, folder, output, a lock that they hold."""

    environment: Mapping[str, str]
    folder: Path
    output: Path
    lock: int

    def launch(self, command: Sequence[str]) -> Child:
        """Start a command that ends with this process."""
        # Output goes to a file and input comes from nowhere: a child that lives on for a moment
        # would otherwise keep a reader of our pipes waiting.
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                tied(command),
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self.lock,),
            )
        return Child(process)


@dataclass
class Child:
    """A running child and its process group."""

    process: subprocess.Popen[bytes] | subprocess.Popen[str]

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self.process.poll() is None

    def stop(self, timeout_secs: float) -> None:
        """Ask it to end, kill it where it does not, and return when it is gone."""
        if self.alive():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout_secs)
            self._kill_group()

    def kill(self) -> None:
        """Kill it and its process group with SIGKILL; return when it is gone."""
        if self.alive():
            self._kill_group()

    def _kill_group(self) -> None:
        # Now or never: later the number of the group may be another's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def tied(command: Sequence[str], number: signal.Signals = signal.SIGKILL) -> list[str]:
    """Return the command that runs `command` and sends it a signal when this process is gone.

    To be started at once, by the calling thread, in a process group of its own.
    """
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), _mode()]
    return [*launcher, str(int(number)), str(os.getpid()), *command]


def _mode() -> str:
    # The kernel's death signal follows the thread that forks: only the main one lasts.
    lasting = threading.current_thread() is threading.main_thread()
    return "exec" if sys.platform == "linux" and lasting else "watch"
