"""Three training processes that ask for the same dataset at the same moment."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_service import DemoFailed, last_lines

SCRIPT = Path(__file__).with_name("train_classifier.py")
_LOOK_SECS = 0.1


@dataclass(frozen=True)
class Trainer:
    """A training as it would run on a machine of its own: with a cache that only it has."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> Path:
        """Where its stderr goes."""
        return self.folder / "stderr.log"

    @property
    def report(self) -> Path:
        """Where it writes its results."""
        return self.folder / "report.json"


@contextmanager
def trainers(
    names: list[str], home: Path, environment: Mapping[str, str], arguments: list[str]
) -> Iterator[list[Trainer]]:
    """Start trainings at once; end those that still run at the end."""
    started: list[Trainer] = []
    try:
        for seed, name in enumerate(names):
            own = [*arguments, "--name", name, "--seed", str(seed)]
            started.append(_start(name, home / name, environment, own))
        yield started
    finally:
        for trainer in started:
            trainer.process.terminate()
        for trainer in started:
            trainer.process.wait()


def _start(
    name: str, folder: Path, environment: Mapping[str, str], arguments: list[str]
) -> Trainer:
    folder.mkdir(exist_ok=True)
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, str(SCRIPT), *arguments, "--report", str(report)]
    with (folder / "stderr.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**environment, "DATAMILL_CACHE": str(folder / "cache")},
            stdin=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C is the demo's to pass on
        )
    return Trainer(name, folder, process)


def results(started: list[Trainer]) -> list[dict[str, Any]]:
    """Wait for trainings; return their reports. Raises `DemoFailed` for the first that failed."""
    running = list(started)
    while running:
        for trainer in running:
            if code := trainer.process.poll():
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                raise DemoFailed(f"{trainer.name} ended with {how}:\n{last_lines(trainer.log)}")
        running = [trainer for trainer in running if trainer.process.poll() is None]
        time.sleep(_LOOK_SECS)
    return [json.loads(trainer.report.read_text()) for trainer in started]
