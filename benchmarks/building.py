"""Records per second of a build, from the request to `ready`, beside the transform alone.

The published example: 1024x1024, crop 800x800, JPEG. The limit is a bare loop of OpenCV's decode,
resize, crop and encode in as many processes as there are cores, its results thrown away. The
environment is warm, the raw data known; every round is a build of its own.
"""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import Any

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.photographs import EXAMPLE_CONFIG, BareLoop, link_classes, published_example
from benchmarks.service import Running, cores, service

LIMIT = 0.90
PHOTOGRAPHS = 5000


class Builds:
    """Builds of the published example, each with another seed, so that each is one of its own."""

    def __init__(self, running: Running, count: int) -> None:
        self._running, self._count = running, count
        self._seeds = itertools.count()

    def records_per_sec(self) -> float:
        """Build once.

        By a connection of its own, made before: one that nobody serves while a peer has its turn
        would be closed for want of heartbeats.
        """
        config: dict[str, Any] = {**EXAMPLE_CONFIG, "seed": next(self._seeds)}
        with closing(self._running.client()) as client, timed() as watch:
            dataset_id = client.ask("classification", "1.0.0", config)
            event = client.wait(dataset_id, timeout_secs=3600)
        assert event["event"] == "ready" and event["records"] == self._count, event
        return self._count / watch.secs


def measure(rounds: int, count: int = PHOTOGRAPHS) -> list[Comparison]:
    """Build and loop, in turns."""
    with service(DATAMILL_WORKERS=str(cores())) as running:
        paths = link_classes(running.raw / "classification", count)
        builds = Builds(running, count)
        with closing(BareLoop(published_example, cores())) as loop:
            ours, bare = in_turns(
                [builds.records_per_sec, lambda: count / loop.secs(paths)], rounds
            )
    return [
        Comparison(
            f"build of {count} photographs",
            "records/s",
            ours,
            "OpenCV loop",
            bare,
            Limit.times_at_least(LIMIT),
        )
    ]


if __name__ == "__main__":
    answer(__doc__, measure)
