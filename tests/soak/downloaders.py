"""Trainings with the real client: each asks, waits, downloads and verifies, in a process.

`python -m tests.soak.downloaders SEED NUMBER` goes on until its standard input ends, and prints a
JSON line for each answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import datamill
from datamill.errors import DatamillError, RequestFailed, ServiceUnavailable, WaitTimeout
from tests.soak.asking import Asked, requests_of

PATIENCE_SECS = 280.0
_COME_AGAIN_SECS = 2.0
_LOOK_SECS = 20.0


class Downloader:
    """One such process, as the run sees it."""

    def __init__(self, seed: int, number: int, folder: Path, **settings: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DATAMILL_")}
        cache = folder / f"cache-{number}"
        self._printed = (folder / f"downloader-{number}.jsonl").open("w+")
        self._log = (folder / f"downloader-{number}.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.downloaders", str(seed), str(number)],
            env={
                **inherited,
                "DATAMILL_HOME": str(folder / "nowhere"),
                "DATAMILL_CACHE": str(cache),
                **settings,
            },
            stdin=subprocess.PIPE,
            stdout=self._printed,
            stderr=self._log,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ask for nothing more."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def answers(self) -> list[dict[str, Any]]:
        """Return what it has printed."""
        lines = Path(self._printed.name).read_text().splitlines()
        return [json.loads(line) for line in lines]


class _Patience:
    """Over so many seconds after nothing more is to be asked for; a training waits till then."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._ended_at = float("inf")
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        sys.stdin.read()
        self._ended_at = time.monotonic()
        self.ended.set()

    @property
    def over(self) -> bool:
        return time.monotonic() > self._ended_at + PATIENCE_SECS


def main() -> None:
    """Ask, wait, verify, until standard input ends."""
    seed, number = int(sys.argv[1]), int(sys.argv[2])
    patience = _Patience()
    for asked, pause_secs in requests_of(seed, 10_000 + number):
        if patience.ended.is_set():
            return
        began = time.monotonic()
        said = {"dataset_id": asked.dataset_id, "expected": asked.expected}
        said |= _train(asked, patience)
        print(json.dumps({**said, "secs": time.monotonic() - began}), flush=True)
        patience.ended.wait(pause_secs)


def _train(asked: Asked, patience: _Patience) -> dict[str, Any]:
    try:
        dataset = _ask(asked, patience)
        assert dataset.id == asked.dataset_id
        folder = _wait(dataset, patience)
    except RequestFailed as error:
        return {"outcome": "failed", "reason": error.reason, "message": str(error)}
    except WaitTimeout:
        return {"outcome": "lost"}
    except DatamillError as error:
        return {"outcome": "error", "message": f"{type(error).__name__}: {error}"}
    for shard in dataset.manifest.shards:
        digest = hashlib.sha256((folder / shard.file).read_bytes()).hexdigest()
        if digest != shard.sha256:
            return {"outcome": "damaged", "message": shard.file}
    return {"outcome": "ready", "records": dataset.manifest.records}


def _ask(asked: Asked, patience: _Patience) -> datamill.Dataset:
    """Ask until it is taken: who is told that nobody takes it now comes again."""
    while True:
        try:
            return datamill.request_dataset(asked.name, asked.version, asked.config)
        except ServiceUnavailable:
            if patience.over:
                raise
            time.sleep(_COME_AGAIN_SECS)  # not a condition: another try


def _wait(dataset: datamill.Dataset, patience: _Patience) -> Path:
    while True:
        try:
            return dataset.wait(timeout=_LOOK_SECS)
        except WaitTimeout:
            if patience.over:
                raise


if __name__ == "__main__":
    main()
