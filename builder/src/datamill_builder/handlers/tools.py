"""The tools that make environments: git, uv and pip, each in a process group that can be ended.

They may run for many minutes, in several threads; a builder that is told to stop ends them all,
and what they were doing is handed back like the work of a handler. A process has one builder, so
what runs is kept by the module.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from datamill.errors import DatamillError
from datamill.logs import without_passwords
from datamill_builder.handlers.process import HandlerStopped

_TIMEOUT_SECS = 900.0

_running: set[subprocess.Popen[str]] = set()
_stopping = threading.Event()


class SourceUnavailable(DatamillError):
    """A source of handler packages could not be reached; trying again may help."""


def run_tool(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run git, uv or pip and return what it printed; raise `SourceUnavailable` with its words.

    Raises `HandlerStopped` once `stop_tools` was called.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            # Packages' own code runs when they are built: nothing of ours is for its eyes.
            env={k: v for k, v in environment.items() if not k.startswith("DATAMILL_")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        printed, complaint = _outcome(process)
    except subprocess.TimeoutExpired as error:
        # Its own words hold the whole command, with an index's password.
        raise SourceUnavailable(f"{name}: took more than {_TIMEOUT_SECS:.0f} s") from error
    except OSError as error:
        raise SourceUnavailable(f"{name}: {error}") from error
    if _stopping.is_set():
        raise HandlerStopped
    if process.returncode != 0:
        words = " ".join((complaint or printed).split())[-1500:]
        raise SourceUnavailable(without_passwords(f"{name} {command[1]}: {words}"))
    return printed


def _outcome(process: subprocess.Popen[str]) -> tuple[str, str]:
    _running.add(process)
    if _stopping.is_set():
        _kill(process)
    try:
        return process.communicate(timeout=_TIMEOUT_SECS)
    except subprocess.TimeoutExpired:
        _kill(process)
        process.communicate()
        raise
    finally:
        _running.discard(process)


def pause(secs: float) -> None:
    """Wait for another's tools; raise `HandlerStopped` once `stop_tools` was called."""
    if _stopping.wait(secs):
        raise HandlerStopped


def stop_tools() -> None:
    """End all tools and start no more; from any thread."""
    _stopping.set()
    kill_tools()


def kill_tools() -> None:
    """End the tools that run: no locks, no waiting, for a signal's handler too."""
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
