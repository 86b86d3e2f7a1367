"""A real notifier in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AWAY = "amqp://nobody:nothing@127.0.0.1:1/none"
"""A broker that is not there."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        """The body, as JSON."""
        assert self.headers["Content-Type"].startswith("application/json"), self.headers
        return json.loads(self.body)


class NotifierProcess:
    """Starts, stops and kills one notifier; its log is in `<home>/notifier.log`."""

    def __init__(self, home: Path, broker_url: str = AWAY, **settings: str) -> None:
        self.home = home
        self.log_path = home / "notifier.log"
        self.environment = {
            **os.environ,
            "DATAMILL_HOME": str(home),
            "DATAMILL_BROKER_URL": broker_url,
            "DATAMILL_LOG_FORMAT": "text",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, *arguments: str, timeout_secs: float = 30.0) -> NotifierProcess:
        """Start, and return when it serves."""
        self.home.mkdir(parents=True, exist_ok=True)
        already = self.log().count("serving at")
        self.launch(*arguments)
        assert self.process is not None
        deadline = time.monotonic() + timeout_secs
        while self.log().count("serving at") <= already:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        # Where lines are JSON, there stands the end of one behind it.
        self.url = self.log().rsplit("serving at ", 1)[1].split()[0].rstrip('"}')
        return self

    def launch(
        self, *arguments: str, python: tuple[str, ...] = ("-m", "datamill_notifier")
    ) -> None:
        """Start, and return at once; `python`: what the interpreter runs."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *python, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        """Return what it has logged."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection; the caller closes it."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return http.client.HTTPConnection(host, int(port), timeout=30)

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> Answer:
        """Ask for a path, exactly as it is written."""
        connection = self.connect()
        try:
            connection.putrequest(method, path)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.msg, response.read())
        finally:
            connection.close()

    def numbers(self) -> dict[str, float]:
        """Return what `/metrics` tells, by names and labels as they are written."""
        lines = self.ask("/metrics").body.decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def admin(self, path: str, method: str = "GET", token: str | None = None) -> Answer:
        """Ask for a path of administration, with the home's token."""
        token = token or (self.home / "admin-token").read_text().strip()
        return self.ask(path, method, headers={"Authorization": f"Bearer {token}"})

    def stop(self, number: int = signal.SIGTERM, timeout_secs: float = 30.0) -> int:
        """End it as an administrator would; return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_secs)

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


StartNotifier = Callable[..., NotifierProcess]
"""What the fixture `start_notifier` is."""
