"""Processes that come and go in milliseconds: forked from one that has imported the builder.

`python -m tests.unit.builder.forker` reads a JSON line per process to start and answers with its
pid. It has one thread only, so that forking is safe in it, as it is not in the tests' process.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[3]
_PRELOADED = "tests.unit.builder.forked"


class Forker:
    """Starts functions of `forked.py`, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "forker.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._started: list[int] = []

    def start(self, function: str, *arguments: object) -> int:
        """Start `forked.<function>(*arguments)`; return the pid."""
        assert self._process.stdin is not None and self._process.stdout is not None
        words = json.dumps([function, *map(str, arguments)])
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.errors()
        self._started.append(int(answer))
        return int(answer)

    def errors(self) -> str:
        """Return what the processes complained about."""
        self._log.flush()
        return Path(self._log.name).read_text()

    def __enter__(self) -> Forker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10.0)
        self._process.stdout.close()
        self._log.close()


def kill(pid: int) -> None:
    """End a process as a power cut would."""
    os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that waits for its parent to look at it does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()  # a system without /proc
    return state != "Z"


def _serve() -> None:
    importlib.import_module(_PRELOADED)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children here
    children = []
    for line in sys.stdin:
        function, *arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(function, arguments)
        children.append(pid)
        print(pid, flush=True)
    for pid in children:
        if is_alive(pid):
            kill(pid)


def _run(function: str, arguments: list[str]) -> None:
    code = 1
    try:
        getattr(sys.modules[_PRELOADED], function)(*arguments)
        code = 0
    except Exception:  # noqa: BLE001 - it is the last of this process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
