"""Failpoints end or pause a process at one line, and do nothing unless they are asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

_PROGRAM = """
from datamill.failpoint import failpoint
for turn in range(3):
    failpoint("here")
    failpoint("elsewhere.too")
    print(turn, flush=True)
"""


def _run(wanted: str | None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "DATAMILL_FAILPOINT"}
    if wanted is not None:
        environment["DATAMILL_FAILPOINT"] = wanted
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_nothing_happens_unless_asked() -> None:
    done = _run(None)
    assert (done.returncode, done.stdout) == (0, "0\n1\n2\n")


@pytest.mark.parametrize(
    ("wanted", "printed"),
    [
        ("here", ""),
        ("here:kill@2", "0\n"),
        ("nowhere,elsewhere.too@3", "0\n1\n"),
    ],
)
def test_the_process_is_killed_at_the_time_that_is_named(wanted: str, printed: str) -> None:
    done = _run(wanted)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, printed)


def test_a_word_that_is_no_failpoint_is_named() -> None:
    done = _run("here:explode")
    assert done.returncode == 1
    assert "'here:explode' is no failpoint" in done.stderr


def test_a_paused_process_goes_on() -> None:
    environment = {**os.environ, "DATAMILL_FAILPOINT": "here:stop@2"}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], env=environment, stdout=subprocess.PIPE, text=True
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.send_signal(signal.SIGCONT)
    printed, _ = process.communicate(timeout=30)
    assert (process.returncode, printed) == (0, "0\n1\n2\n")
