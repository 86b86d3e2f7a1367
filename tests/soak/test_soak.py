"""A short run of what `make soak` does at length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.soak.asking import requests_of
from tests.soak.plan import WEIGHTS, planned_faults


def test_a_seed_decides_what_happens() -> None:
    plan = list(planned_faults(7, 3600.0))
    assert plan == list(planned_faults(7, 3600.0))
    assert plan != list(planned_faults(8, 3600.0))
    assert {fault.name for fault in plan} == set(WEIGHTS), "an hour has some of each"
    asked = [next(iter(requests_of(7, number)))[0].dataset_id for number in range(50)]
    assert asked == [next(iter(requests_of(7, number)))[0].dataset_id for number in range(50)]
    assert len(set(asked)) > 25


@pytest.mark.slow
def test_half_a_minute_under_fire_loses_nothing(tmp_path: Path) -> None:
    verdict = tmp_path / "verdict.json"
    sizes = ["--trainers", "8", "--downloaders", "2", "--minutes", "0.5", "--seed", "11"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *sizes, "--verdict", str(verdict)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    document = json.loads(verdict.read_text())
    assert document["wrong"] == []
    assert document["figures"]["faults"] >= 4
    assert document["figures"]["answers to plain clients"]["ready"] >= 8
