"""Telling by a command: the event on its standard input, its fields in the environment."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from datamill.hook_settings import HookSettings
from datamill.logs import DATASET_ID
from datamill_builder.hooks.message import STOPPED, Message, Outcome

log = logging.getLogger(__name__)

_PREFIX = "DATAMILL_EVENT"
_NOT_FOR_IT = (
    "DATAMILL_ADMIN_TOKEN",
    "DATAMILL_BROKER_URL",
    "DATAMILL_CATALOG_URL",
    "DATAMILL_HANDLER_SOURCES",
    "DATAMILL_HOOKS",
)
"""What holds passwords, or secrets of other hooks."""

_MOST_IN_VARIABLE_BYTES = 32_000
"""What is longer is on standard input alone: Linux takes 128 KiB (MAX_ARG_STRLEN), others less."""

_TAIL_BYTES = 4096
_SHOWN_CHARACTERS = 200
_LOOK_SECS = 0.1
_READ_BYTES = 65536
_READS = 64
"""So often at a time: whether one that writes without end is to be killed has to be looked at."""


class Command:
    """Runs the command of a hook in a process group of its own; one at a time."""

    def __init__(self, hook: HookSettings, folder: Path) -> None:
        self._name = hook.name
        self._words = hook.command
        self._timeout_secs = hook.timeout_secs
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def tell(self, message: Message) -> Outcome:
        """Run the command; exit code 0 says that it is done."""
        if self._stopped:
            return STOPPED
        try:
            with tempfile.TemporaryFile() as told:
                # A file, not a pipe: who reads nothing must not hold up who writes.
                told.write(message.body.encode())
                told.seek(0)
                process = self._start(told.fileno(), message)
        except OSError as error:
            return Outcome(False, f"{self._words[0]}: {error.strerror or error}")
        with process:
            self._process = process
            in_time, tail = self._run(process)
        self._process = None
        said = " | ".join(tail.decode("utf-8", "replace").splitlines())
        if said:
            dataset = {DATASET_ID: message.document["dataset_id"]}
            log.info("hook %s said: %s", self._name, said, extra=dataset)
        return self._outcome(process.returncode, in_time, said)

    def stop(self) -> None:
        """Kill what runs: no locks, no waiting, for a signal's handler too."""
        self._stopped = True
        if self._process is not None:
            _kill(self._process)

    def _start(self, stdin: int, message: Message) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._words,
            cwd=self._folder if self._folder.is_dir() else None,
            env=_environment(message),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _run(self, process: subprocess.Popen[bytes]) -> tuple[bool, bytes]:
        """Wait for the process; return whether it ended by itself, and its last words."""
        deadline = time.monotonic() + self._timeout_secs
        assert process.stdout is not None
        with _Tail(process.stdout.fileno()) as tail:
            while process.poll() is None:
                if self._stopped or time.monotonic() > deadline:
                    _kill(process)
                    process.wait()
                    tail.read(0)
                    return False, tail.bytes
                tail.read(_LOOK_SECS)
            # What it has left in the background may hold its output open: nobody waits for that.
            tail.read(0)
            return True, tail.bytes

    def _outcome(self, code: int, in_time: bool, said: str) -> Outcome:
        last_words = f": {said[-_SHOWN_CHARACTERS:]}" if said else ""
        if self._stopped and code != 0:
            return STOPPED
        if not in_time:
            return Outcome(False, f"killed after {self._timeout_secs:g} s{last_words}")
        if code < 0:
            return Outcome(False, f"ended by signal {-code}{last_words}")
        return Outcome(code == 0, f"exit code {code}{last_words}")


class _Tail:
    """The last bytes of what a process writes."""

    def __init__(self, descriptor: int) -> None:
        self.bytes = b""
        self._descriptor = descriptor
        self._selector = selectors.DefaultSelector()
        os.set_blocking(descriptor, False)
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._ended = False

    def read(self, patience_secs: float) -> None:
        """Take what is there, or comes within so long."""
        if self._ended:
            time.sleep(patience_secs)
            return
        if not self._selector.select(patience_secs):
            return
        with contextlib.suppress(BlockingIOError):
            for _ in range(_READS):
                piece = os.read(self._descriptor, _READ_BYTES)
                self.bytes = (self.bytes + piece)[-_TAIL_BYTES:]
                if not piece:
                    self._ended = True
                    return

    def __enter__(self) -> _Tail:
        return self

    def __exit__(self, *_error: object) -> None:
        self._selector.close()


def _environment(message: Message) -> dict[str, str | bytes]:
    inherited: dict[str, str | bytes] = {
        name: text for name, text in os.environ.items() if name not in _NOT_FOR_IT
    }
    document = message.document
    event = document.pop("event")
    fields = {f"{_PREFIX}_{name.upper()}": _bytes(value) for name, value in document.items()}
    short = {name: text for name, text in fields.items() if len(text) <= _MOST_IN_VARIABLE_BYTES}
    return inherited | {_PREFIX: event, f"{_PREFIX}_ATTEMPT": str(message.attempt)} | short


def _bytes(value: Any) -> bytes:
    """Return a field as a variable holds it, in UTF-8: texts as they are, all else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("\0", "\\0").encode("utf-8", "replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return  # the number of its group may be another's by now
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
