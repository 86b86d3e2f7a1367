"""`datamill up` as a child of the demo, and what it says of itself over HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

DATAMILL = Path(sys.executable).with_name("datamill")

START_SECS = 60.0
STOP_SECS = 40.0
_LOOK_SECS = 0.1
_BUILDS = re.compile(r'^datamill_builds\{state="ready"\} ([\d.e+]+)$', re.MULTILINE)
_LAST_LINES = 8


class DemoFailed(Exception):
    """The demo did not show what it is there to show."""


class Service:
    """`datamill up` on a home of its own; use it in a `with`."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.log = home / "service.log"
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.http_url = ""

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops in order.
            self._process = subprocess.Popen(
                [DATAMILL, "up"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.http_url = self._wait_until_up(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.terminate()  # told a second time, it ends at once
            self._process.wait()

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + START_SECS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                running = json.loads((self.home / "run.json").read_text())
            except FileNotFoundError:
                time.sleep(_LOOK_SECS)
                continue
            if running["pids"]["up"] == process.pid:
                return str(running["http_url"])
            time.sleep(_LOOK_SECS)  # it is of an earlier one that was killed
        raise DemoFailed(
            f"`datamill up` did not start; {self.log} ends with\n{last_lines(self.log)}"
        )

    def builds(self) -> int:
        """Return how many archives have been built in this home so far."""
        found = _BUILDS.search(self._get("/metrics").decode())
        assert found is not None
        return int(float(found[1]))

    def dataset(self, dataset_id: str) -> dict[str, Any]:
        """Return what the service knows of a dataset."""
        document: dict[str, Any] = json.loads(self._get(f"/datasets/{dataset_id}"))
        return document

    def contact_sheet(self, dataset_id: str) -> bytes:
        """Return a JPEG with some records of a dataset."""
        return self._get(f"/datasets/{dataset_id}/preview.jpg")

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.http_url + path, timeout=30) as response:
            body: bytes = response.read()
            return body


def build_secs(dataset: Mapping[str, Any]) -> float:
    """Return the seconds from the first request for a dataset to its archive."""
    began, ended = (datetime.fromisoformat(dataset[name]) for name in ("created_at", "ended_at"))
    return (ended - began).total_seconds()


def last_lines(file: Path) -> str:
    """Return the end of a log, for a message."""
    return "\n".join(file.read_text(errors="replace").splitlines()[-_LAST_LINES:])


def without_settings() -> dict[str, str]:
    """Return the environment without `DATAMILL_*`: the demo is not to reach another service."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DATAMILL_")}
