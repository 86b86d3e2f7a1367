"""A part as a real child process."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datamill.runfile import is_alive
from datamill_producer.up.console import Console
from datamill_producer.up.descendants import descendants
from datamill_producer.up.part import FIRST_PAUSE_SECS, Part

MakePart = Callable[..., Part]


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def make_part(tmp_path: Path, output: io.StringIO) -> Iterator[MakePart]:
    """Make parts that run a Python program."""
    made: list[Part] = []
    console = Console(output, coloured=False)
    with (tmp_path / "lock").open("w") as lock:

        def make(program: str) -> Part:
            made.append(Part("builder", [sys.executable, "-c", program], console, lock.fileno()))
            return made[-1]

        yield make
        for part in made:
            part.stop(0.0)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_ended(part: Part) -> int:
    deadline = time.monotonic() + 10
    while (code := part.ended()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return code


def test_its_lines_are_shown(make_part: MakePart, output: io.StringIO) -> None:
    part = make_part("import sys; print('out'); print('err', file=sys.stderr)")
    part.start(os.environ)
    wait_for(lambda: output.getvalue().count("\n") == 2)
    assert {line.split()[-1] for line in output.getvalue().splitlines()} == {"out", "err"}
    assert " builder " in output.getvalue()


def test_the_end_is_told_once_and_pauses_double(make_part: MakePart) -> None:
    part = make_part("raise SystemExit(3)")
    for number in range(3):
        part.start(os.environ)
        assert part.pause_secs is None
        assert wait_until_ended(part) == 3
        assert part.ended() is None
        pause = FIRST_PAUSE_SECS * 2**number
        assert part.pause_secs == pytest.approx(pause, abs=0.2)
        assert part.restarts == number + 1


def test_stop_asks_first(make_part: MakePart, output: io.StringIO) -> None:
    part = make_part(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('asked'))\n"
        "print('up', flush=True)\n"
        "signal.pause()"
    )
    part.start(os.environ)
    wait_for(lambda: "up" in output.getvalue())
    assert part.stop(10.0)
    assert "asked" in output.getvalue()


def test_stop_kills_who_does_not_listen(make_part: MakePart, output: io.StringIO) -> None:
    part = make_part(
        "import signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        "while True: signal.pause()"
    )
    part.start(os.environ)
    wait_for(lambda: "up" in output.getvalue())
    assert not part.stop(0.1)
    assert part.pid is not None
    assert not is_alive(part.pid)


def test_ctrl_c_in_our_group_does_not_reach_it(make_part: MakePart) -> None:
    part = make_part("import time; time.sleep(60)")
    part.start(os.environ)
    assert part.pid is not None
    assert os.getpgid(part.pid) == part.pid != os.getpgid(0)


def test_it_gets_sigterm_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = (
        "import signal, pathlib, sys\n"
        f"at_end = pathlib.Path({str(tmp_path / 'asked')!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (at_end.write_text('yes'), sys.exit()))\n"
        f"pathlib.Path({str(tmp_path / 'up')!r}).write_text('')\n"
        "signal.pause()"
    )
    parent = (
        "import os, sys, time\n"
        "from datamill_producer.up.console import Console\n"
        "from datamill_producer.up.part import Part\n"
        f"part = Part('builder', [sys.executable, '-c', {child!r}], "
        "Console(sys.stderr, coloured=False), 2)\n"
        "part.start(os.environ)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        wait_for((tmp_path / "up").exists)
        (child_pid,) = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
    wait_for((tmp_path / "asked").exists)
    wait_for(lambda: not is_alive(child_pid) or _is_zombie(child_pid))


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_descendants_are_all_generations() -> None:
    program = "import subprocess; subprocess.run(['sleep', '60'])"
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True) as process:
        wait_for(lambda: len(descendants(process.pid)) == 1)
        assert {process.pid, *descendants(process.pid)} <= set(descendants(os.getpid()))
        os.killpg(process.pid, signal.SIGKILL)
