"""`examples/train_resumable.py`: killed and interrupted, it goes on, and learns."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tensorflow.conftest import Service

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG = '{"image_size": [24, 24], "validation_share": 0.2}'
WAIT_SECS = 120.0
RECORDS = 1500
"""About so many are not for validation."""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            str(EXAMPLES / "train_resumable.py"),
            "classification",
            *("--config", CONFIG, "--folder", str(folder), "--epochs", "3", "--steps", "5"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def checkpoints(process: subprocess.Popen[str], count: int) -> list[str]:
    """Return where the next so many checkpoints are, as soon as they are saved."""
    assert process.stdout is not None
    places: list[str] = []
    said = ""
    for line in process.stdout:
        said += line
        if found := re.match(r"(epoch \d+, record \d+): .*; a checkpoint is saved", line):
            places.append(found[1])
        if len(places) == count:
            return places
    raise AssertionError(said)


@pytest.mark.slow
def test_it_goes_on_where_it_was(service: Service, tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "demo_raw_data.py", tmp_path], check=True)
    (tmp_path / "digits").rename(service.raw / "classification")

    first = start(tmp_path / "run")
    places = checkpoints(first, 3)
    first.kill()
    output = first.communicate(timeout=WAIT_SECS)[0]
    places += re.findall(r"^(epoch \d+, record \d+): .*saved", output, re.MULTILINE)

    second = start(tmp_path / "run")
    assert second.stdout is not None
    went_on = next(line for line in second.stdout if line.startswith("goes on at"))
    assert went_on.removeprefix("goes on at ").strip() in (places[-1], _next(places))
    checkpoints(second, 1)
    second.send_signal(signal.SIGINT)
    assert "the same command goes on" in second.communicate(timeout=WAIT_SECS)[0]
    assert second.returncode == 130

    third = start(tmp_path / "run")
    output = third.communicate(timeout=WAIT_SECS)[0]
    assert third.returncode == 0, output
    before = re.search(r"before: ([\d.]+)%", output)
    after = re.search(r"after 3 epochs: ([\d.]+)%", output)
    assert before and after, output
    assert 30 < float(before[1]) < float(after[1]) and float(after[1]) > 80


def _next(places: list[str]) -> str:
    """Return the place after the last one that was told: it was killed before it could tell."""
    epoch, record = map(int, re.findall(r"\d+", places[-1]))
    if record + 5 * 64 > RECORDS:
        return f"epoch {epoch + 1}, record 0"
    return f"epoch {epoch}, record {record + 5 * 64}"
