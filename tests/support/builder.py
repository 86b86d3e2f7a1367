"""A real builder in a process of its own, on a home and a virtual host of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from datamill_builder.catalog import Catalog, schema
from datamill_builder.catalog.states import TaskKind
from datamill_builder.store import Store


class BuilderProcess:
    """Starts, stops and kills one builder; its log is in `<home>/builder.log`.

    `under`: the beginning of a command line that runs another command. `log_name` parts the logs
    of two builders that share a home.
    """

    def __init__(
        self,
        home: Path,
        broker_url: str,
        under: Sequence[str] = (),
        log_name: str = "builder.log",
        **settings: str,
    ) -> None:
        self.home = home
        self.broker_url = broker_url
        self.log_path = home / log_name
        self._under = under
        self._environment = {
            **os.environ,
            "DATAMILL_HOME": str(home),
            "DATAMILL_RAW_ROOT": str(home / "raw"),
            "DATAMILL_BROKER_URL": broker_url,
            "DATAMILL_HANDLER_SOURCES": str(home / "wheels"),
            "DATAMILL_PUBLIC_URL": "http://datamill.test:8080",
            "DATAMILL_WORKERS": "2",
            "DATAMILL_LOG_FORMAT": "text",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_secs: float = 30.0) -> BuilderProcess:
        """Start, and return when it takes requests."""
        already = self.log().count("taking requests")
        self.launch()
        assert self.process is not None
        deadline = time.monotonic() + timeout_secs
        while self.log().count("taking requests") <= already:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        return self

    def launch(self) -> None:
        """Start, and return at once."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._under, sys.executable, "-m", "datamill_builder"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        """Return what it has logged."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal to the builder alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, timeout_secs: float = 30.0) -> int:
        """End it as an administrator would; return its exit code."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_secs
        if self.process.poll() is None:
            self.process.terminate()
        while True:
            self.process.send_signal(signal.SIGCONT)  # it may sleep at a failpoint, or at several
            try:
                return self.process.wait(min(0.5, max(0.0, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait_killed(self, timeout_secs: float = 60.0) -> None:
        """Return when a failpoint has ended it."""
        assert self.process is not None
        assert self.process.wait(timeout_secs) == -signal.SIGKILL, self.log()

    def wait_stopped(self, timeout_secs: float = 60.0) -> None:
        """Return when a failpoint has paused it; each pause is told once."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_secs
        stopped = os.WSTOPPED | os.WNOHANG
        while os.waitid(os.P_PID, self.process.pid, stopped) is None:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)

    def wait_logged(self, text: str, times: int = 1, timeout_secs: float = 60.0) -> None:
        """Return when it has logged a text so often."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_secs
        while self.log().count(text) < times:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def tasks(self, kind: TaskKind) -> list[Any]:
        """Return the rows of its tasks of a kind, in order."""
        catalog = self.catalog
        with catalog.read() as connection:
            rows = connection.execute(
                select(schema.tasks)
                .where(schema.tasks.c.kind == kind)
                .order_by(schema.tasks.c.task_id)
            ).all()
        catalog.close()
        return list(rows)

    @property
    def catalog(self) -> Catalog:
        """Its catalog, opened anew; the caller closes it."""
        default = f"sqlite:///{self.home / 'catalog.sqlite'}"
        return Catalog(self._environment.get("DATAMILL_CATALOG_URL", default))

    @property
    def store(self) -> Store:
        """Its store."""
        return Store(self.home / "store")

    def archives(self) -> list[Path]:
        """Return the archives that it has published."""
        return sorted((self.home / "store" / "archives").glob("*.zip"))


def process_state(pid: int) -> str:
    """Return the letter that proc(5) has for a process's state; X where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


Start = Callable[..., BuilderProcess]
"""What the fixture `start_builder` is."""
