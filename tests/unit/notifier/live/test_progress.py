"""What events said last of how far a build is."""

from __future__ import annotations

import time

import pytest

from datamill.events import Progress
from datamill_notifier.live import progress
from datamill_notifier.live.progress import LatestProgress

IDS = [f"{n:064x}" for n in range(4)]


def told(dataset_id: str, done: int = 1) -> Progress:
    return Progress(
        dataset_id=dataset_id,
        shards_done=done,
        shards=9,
        records_done=0,
        records_per_sec=1.5,
        secs_left=None,
    )


def note(latest: LatestProgress, dataset_id: str, done: int = 1) -> None:
    latest.note("progress", dataset_id, told(dataset_id, done).encode().decode())


def test_the_last_one_counts_until_the_end() -> None:
    latest = LatestProgress()
    assert latest.of(IDS[0]) is None
    note(latest, IDS[0], 1)
    note(latest, IDS[0], 2)
    note(latest, IDS[1], 7)
    latest.note("shard", IDS[0], "{}")
    found = latest.of(IDS[0])
    assert found is not None and found.shards_done == 2
    latest.note("ready", IDS[0], "{}")
    latest.note("failed", IDS[1], "{}")
    assert (latest.of(IDS[0]), latest.of(IDS[1])) == (None, None)


def test_an_old_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    latest = LatestProgress()
    note(latest, IDS[0])
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 9.0)
    assert latest.of(IDS[0]) is not None
    monkeypatch.setattr(time, "monotonic", lambda: now + 11.0)
    assert latest.of(IDS[0]) is None


def test_there_are_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_MOST", 2)
    latest = LatestProgress()
    for dataset_id in IDS:
        note(latest, dataset_id)
    assert sum(latest.of(dataset_id) is not None for dataset_id in IDS) <= 2
    assert latest.of(IDS[-1]) is not None
