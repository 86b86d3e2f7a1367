"""A real `datamill up` on a home of its own, and the `datamill` command beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamill.runfile import is_alive
from datamill_producer.up.descendants import descendants

DATAMILL = [sys.executable, "-m", "datamill_producer"]


class UpProcess:
    """Starts, stops and kills one service; its log is in `<home>/up.log`."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.log_path = home / "up.log"
        self.output_path = home / "up.out"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DATAMILL_")}
        kept = {k: v for k, v in os.environ.items() if k == "DATAMILL_RABBITMQ_DIR"}
        self.environment = {
            **inherited,
            **kept,
            "DATAMILL_HOME": str(home),
            "DATAMILL_CACHE": str(home / "cache"),
            "DATAMILL_HANDLER_SOURCES": str(home / "wheels"),
            "DATAMILL_WORKERS": "2",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, *arguments: str, piped: bool = False) -> UpProcess:
        """Start it; return at once. It leads a process group, as a shell's job does.

        `piped`: it writes to a pipe, not to files.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log, self.output_path.open("ab") as output:
            self.process = subprocess.Popen(
                [*DATAMILL, "up", *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=subprocess.STDOUT if piped else log,
                start_new_session=True,
            )
        return self

    def close_pipe(self) -> None:
        """Leave the one that was started with `piped` without a reader."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()

    def start(self, *arguments: str, timeout_secs: float = 60.0) -> UpProcess:
        """Start it, and return when it serves."""
        self.launch(*arguments)
        self.wait_for(self.run_json.exists, timeout_secs)
        return self

    def wait_for(self, condition: Callable[[], object], timeout_secs: float = 30.0) -> None:
        """Return when something has come true while it runs."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_secs
        while not condition():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    @property
    def run_json(self) -> Path:
        return self.home / "run.json"

    def run_file(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run_json.read_text())
        return document

    def pids(self) -> dict[str, int]:
        """Return the process ids of the service's parts."""
        pids: dict[str, int] = self.run_file()["pids"]
        return pids

    def processes(self) -> set[int]:
        """Return the ids of all processes that belong to it, now."""
        assert self.process is not None
        return {self.process.pid, *descendants(self.process.pid)}

    def log(self) -> str:
        """Return what it and its parts have logged."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def interrupt(self) -> None:
        """Press Ctrl-C: the terminal sends SIGINT to the whole process group."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, timeout_secs: float = 40.0) -> int:
        """Return its exit code."""
        assert self.process is not None
        return self.process.wait(timeout_secs)

    def stop(self) -> None:
        """End it, however it is."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(40.0)
        except subprocess.TimeoutExpired:
            self.process.terminate()  # the second one ends it at once
            self.process.wait(10.0)

    def command(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a `datamill` command beside it."""
        return subprocess.run(
            [*DATAMILL, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    def said(self, *arguments: str) -> str:
        """Return what a command prints; it must succeed."""
        done = self.command(*arguments)
        assert done.returncode == 0, (arguments, done)
        return done.stdout

    def documents(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the JSON lines that a command prints; it must succeed."""
        return [json.loads(line) for line in self.said(*arguments, "--json").splitlines()]


def wait_until_gone(pids: set[int], timeout_secs: float) -> None:
    """Return when none of the processes is left."""
    deadline = time.monotonic() + timeout_secs
    while left := {pid for pid in pids if is_alive(pid) and not _is_zombie(pid)}:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended and only waits for whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False
