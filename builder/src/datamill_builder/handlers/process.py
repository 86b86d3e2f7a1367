"""The builder's end of a handler process."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamill.errors import DatamillError
from datamill.events import Reason
from datamill_builder.handlers.strays import kill_strays

log = logging.getLogger(__name__)

RUNNER = Path(__file__).with_name("runner.py")
_LOG_LINES_KEPT = 200
_TOLD_CHARACTERS = 4000
_MAX_LINE_BYTES = 64 * 1024 * 1024
_MAX_LOG_LINE_BYTES = 16 * 1024
_MAX_PRINTED = 64 * 1024
_OUT_OF_MEMORY = "out_of_memory"
_LOOK_SECS = 0.5
_LOG_GRACE_SECS = 1.0
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH")


class HandlerFailed(DatamillError):
    """The handler refused or failed; `reason` is the one of the `failed` event.

    `errno`: what the operating system refused it, where that is the cause.
    """

    def __init__(
        self, reason: Reason, message: str, traceback: str = "", errno: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.traceback = traceback
        self.errno = errno

    def with_cause(self) -> str:
        """Return the message with the end of the traceback, if there is one: it names the line."""
        if self.reason is not Reason.HANDLER_ERROR or not self.traceback:
            return str(self)
        return f"{self}\n{self.traceback[-_TOLD_CHARACTERS:]}"


class HandlerDied(HandlerFailed):
    """The handler's process ended by itself or was killed by the system."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(Reason.HANDLER_ERROR, message, traceback)


class HandlerStopped(DatamillError):
    """The handler's process was ended because its work is not wanted any more."""


class HandlerProcess:
    """One handler in a process of its environment. One thread at a time may call it.

    What the handler prints goes to the log, line by line, with `label`.
    """

    def __init__(
        self, python: Path, workdir: Path, label: str, memory_bytes: int | None = None
    ) -> None:
        """`memory_bytes`: what the process, and each that it starts, may have of its own."""
        self.label = label
        self._workdir = workdir
        limit = [] if memory_bytes is None else [str(memory_bytes)]
        self.context = contextvars.copy_context()
        """What is being done, by whoever has it do so: what it prints is logged as a part of it."""
        self._printed: deque[str] = deque(maxlen=_LOG_LINES_KEPT)
        self._stopped = threading.Event()
        self._gone = False
        self._process = subprocess.Popen(
            # Unbuffered by an option, since `-I` ignores the variable: a killed handler's last
            # words, and what a busy one says, would not come out otherwise.
            [python, "-I", "-u", RUNNER, *limit],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=workdir,
            env=_environment(workdir),
            start_new_session=True,  # so that what it starts itself can be ended with it
        )
        self._buffer = bytearray()
        self._reader = threading.Thread(target=self._read_log, daemon=True, name=f"log of {label}")
        self._reader.start()
        try:
            self._answer(timeout_secs=120.0, on_progress=None)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the process runs; what one that does not has left is ended."""
        if self._process.poll() is None:
            return True
        self._end()
        return False

    def call(
        self,
        command: str,
        *,
        timeout_secs: float = 600.0,
        on_progress: Callable[[int], None] | None = None,
        **arguments: Any,
    ) -> Any:
        """Have a command carried out and return its answer.

        Raises `HandlerFailed`, `HandlerDied` or, when `stop` was called, `HandlerStopped`.
        """
        if self._buffer:
            raise self._noise()  # an answer that nobody asked for would pass for this one's
        line = json.dumps({"command": command, **arguments}).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self._death() from error
        return self._answer(timeout_secs, on_progress)

    def stop(self) -> None:
        """End the process and whatever it started, at once; from any thread."""
        self._stopped.set()
        self.kill()

    def close(self) -> None:
        """End the process and wait for it."""
        self.stop()
        self._end()
        self._reader.join(_LOG_GRACE_SECS)
        # Standard error is closed by its reader: a process that left our session may hold it.
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _end(self) -> int:
        """Kill it, wait until it is gone, and return its exit code."""
        self.kill()
        code = self._process.wait()
        self._gone = True
        kill_strays(self._workdir)
        return code

    def kill(self) -> None:
        """Kill it and whatever it started: no locks, no waiting, for a signal's handler too."""
        if self._gone:
            return  # the number of its group may be another's by now
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _answer(self, timeout_secs: float, on_progress: Callable[[int], None] | None) -> Any:
        deadline = time.monotonic() + timeout_secs
        while True:
            answer = self._parse(self._line(deadline, timeout_secs))
            if "progress" in answer:
                if on_progress:
                    on_progress(int(answer["progress"]))
            elif "error" in answer:
                raise self._failure(answer["error"])
            else:
                return answer["ok"]

    def _line(self, deadline: float, timeout_secs: float) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if not selector.select(min(_LOOK_SECS, max(0.0, left))):
                    # A process that it forked may hold the pipe open, so that no end comes.
                    if not self.alive and not selector.select(0):
                        raise self._death()
                    if left <= 0:
                        self._end()
                        raise HandlerFailed(
                            Reason.TIMEOUT,
                            f"the handler gave no answer within {timeout_secs:.0f} s",
                        )
                    continue
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise self._death()
                if len(self._buffer) > _MAX_LINE_BYTES:
                    self._end()
                    raise HandlerDied(f"the handler's answer is over {_MAX_LINE_BYTES} bytes long")
                self._buffer += chunk
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return line

    def _parse(self, line: bytes) -> Any:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not _is_answer(answer):
            raise self._noise()
        return answer

    def _noise(self) -> HandlerDied:
        self._end()
        return HandlerDied("the handler wrote something else than answers into the protocol")

    def _failure(self, error: dict[str, Any]) -> HandlerFailed:
        failure = _failure(error)
        if error.get("reason") != _OUT_OF_MEMORY:
            return failure
        # Nobody knows what is left of a process that got no memory: it is not used again.
        self._end()
        return HandlerDied(f"the handler got no more memory: {failure}", failure.traceback)

    def _death(self) -> DatamillError:
        if self._stopped.is_set():
            return HandlerStopped()
        code = self._end()
        self._reader.join(_LOG_GRACE_SECS)
        cause = (
            f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with code {code}"
        )
        hint = "; out of memory?" if code == -signal.SIGKILL else ""
        printed = "\n".join(list(self._printed))[-_MAX_PRINTED:]
        return HandlerDied(f"the handler's process ended {cause}{hint}", printed)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            # A line has an end here even where the handler sets none (progress bars do not).
            while raw := stderr.readline(_MAX_LOG_LINE_BYTES):
                line = raw.decode("utf-8", "replace").rstrip()
                self._printed.append(line)
                self.context.run(log.info, "%s: %s", self.label, line)


def _is_answer(line: Any) -> bool:
    match line:
        case {"progress": int()} | {"error": dict()} | {"ok": _}:
            return True
    return False


def _failure(error: dict[str, Any]) -> HandlerFailed:
    try:
        reason = Reason(str(error.get("reason")))
    except ValueError:
        reason = Reason.HANDLER_ERROR
    message, trace = str(error.get("message")), str(error.get("traceback") or "")
    number = error.get("errno")
    return HandlerFailed(reason, message, trace, number if isinstance(number, int) else None)


def _environment(workdir: Path) -> dict[str, str]:
    """Return the process's environment: nothing of ours, no address of the broker above all."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return kept | {
        "HOME": str(workdir),
        "TMPDIR": str(workdir),
        "PYTHONUNBUFFERED": "1",
        # One process per core is what makes use of the cores; threads inside only contend.
        "OMP_NUM_THREADS": "1",
        "OPENCV_FOR_THREADS_NUM": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }
