"""The demo, end to end, on a home of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.readme import REPOSITORY

DEMO_SECS = 300.0


def run_demo(home: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "examples" / "demo.py", "--home", home, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEMO_SECS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stderr == "", "it is to be quiet beside what it shows"
    return done.stdout


def value(output: str, name: str) -> str:
    found = re.search(rf"^  {name}  +(.*)$", output, re.MULTILINE)
    assert found is not None, output
    return found[1]


def processes_of(home: Path) -> list[str]:
    """Return the command lines of processes that were started on a home."""
    return [
        file.read_bytes().replace(b"\0", b" ").decode()
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if file.exists() and str(home).encode() in file.read_bytes()
    ]


@pytest.mark.slow
def test_three_trainings_one_build_and_the_next_time_none(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    first = run_demo(home)
    for number in (1, 2, 3):
        said = re.findall(rf"^ *trainer-{number} \| (.*)$", first, re.MULTILINE)
        # Who waits long asks again, and is told again that it was accepted.
        steps = [word for word, _ in groupby(line.split()[0] for line in said)]
        assert steps == [
            "asked",
            "accepted:",
            "told",
            "downloaded",
            "trained",
        ], said
    assert value(first, "builds").startswith("1,")
    assert value(first, "dataset").startswith("5391 records")
    assert value(first, "downloads").startswith("3,")
    accuracies = [float(number) for number in re.findall(r"([\d.]+)%", value(first, "accuracy"))]
    assert len(accuracies) == 3 and min(accuracies) > 90
    for name in ("digits", "photographs"):
        with Image.open(home / f"contact-sheet-{name}.jpg") as sheet:
            colours = sheet.convert("RGB").resize((100, 40)).getcolors(4000)
            assert sheet.width > 1000 and colours is not None and len(colours) > 200
    assert processes_of(home) == []

    second = run_demo(home, "--trainers", "1")
    assert value(second, "builds").startswith("0:")
    assert value(second, "downloads").startswith("0:")
    assert value(second, "dataset") == value(first, "dataset"), "it is the one that was built first"
    assert processes_of(home) == []
