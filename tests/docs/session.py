"""A newcomer's terminals: one shell whose directory and variables last, and `datamill up`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import uv

from tests.docs.readme import File

COMMAND_SECS = 120.0
UP_SECS = 60.0
_KEEP = 'code=$?; pwd >"$1"; env -0 >"$2"; exit $code'


class Session:
    """Runs commands one after the other, in a folder that looks like a fresh checkout."""

    def __init__(self, checkout: Path, home: Path) -> None:
        self.folder = checkout
        self.home = home
        self._state = home / "shell"
        self._state.mkdir(parents=True)
        self._up: subprocess.Popen[bytes] | None = None
        self._ups = 0
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("DATAMILL_")}
        uv_bin = uv.find_uv_bin()
        cache = subprocess.run([uv_bin, "cache", "dir"], capture_output=True, text=True, check=True)
        self.environment = inherited | {
            "HOME": str(home),
            # Fetched once is enough, whoever's home it is.
            "UV_CACHE_DIR": cache.stdout.strip(),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell; what it exports and where it goes to stays."""
        pwd, environment = self._state / "pwd", self._state / "environment"
        done = subprocess.run(
            ["bash", "-c", f"set -a; eval {shlex.quote(line)}\n{_KEEP}", "bash", pwd, environment],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECS,
            check=False,
        )
        self.folder = Path(pwd.read_text().rstrip("\n"))
        pairs = environment.read_text().rstrip("\0").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs)
        return done

    def python(self, source: str) -> subprocess.CompletedProcess[str]:
        """Run a Python snippet, as a script."""
        script = self._state / "snippet.py"
        script.write_text(source)
        return subprocess.run(
            [sys.executable, script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECS,
            check=False,
        )

    def write(self, file: File) -> None:
        """Write a file where the README says."""
        path = self.folder / file.path.replace("~", str(self.home), 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)

    def up(self, line: str) -> str:
        """Run `datamill up …` in a terminal of its own, instead of the one that runs; return
        what it says until it serves.
        """
        self.close()
        self._ups += 1
        log = self._state / f"up-{self._ups}.log"
        with log.open("wb") as output:
            self._up = subprocess.Popen(
                shlex.split(line),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + UP_SECS
        while "press Ctrl-C" not in log.read_text():
            assert self._up.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        running = self.home / ".local/share/datamill/run.json"
        assert json.loads(running.read_text())["pids"]["up"] == self._up.pid
        return log.read_text()

    def close(self) -> None:
        """Press Ctrl-C in the terminal of `datamill up`."""
        if self._up is not None and self._up.poll() is None:
            self._up.send_signal(signal.SIGINT)
            assert self._up.wait(COMMAND_SECS) == 0
