"""How soon a build starts: from the request to the first shard committed, environment warm.

The peer is the first shard's own work: the handler's shard function on the same source items, in
a process that is open already. What the build adds is to ask, resolve, plan, open handlers,
commit, and tell. The published example, on 1,000 photographs; every round is a build of its own.
"""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks.command import answer
from benchmarks.first_shard import first_shard
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.photographs import EXAMPLE_CONFIG, link_classes
from benchmarks.service import cores, service

LIMIT_SECS = 0.3
PHOTOGRAPHS = 1000


def measure(rounds: int, count: int = PHOTOGRAPHS) -> list[Comparison]:
    """Ask and wait for the first shard, and write it, in turns."""
    with service(DATAMILL_WORKERS=str(cores())) as running:
        link_classes(running.raw / "classification", count)
        client, seeds = running.client(), itertools.count()

        def build() -> tuple[str, float]:
            config: dict[str, Any] = {**EXAMPLE_CONFIG, "seed": next(seeds)}
            with timed() as watch:
                dataset_id = client.ask("classification", "1.0.0", config)
                client.wait(dataset_id, "shard", "failed")
            assert client.wait(dataset_id)["event"] == "ready"
            return dataset_id, watch.secs

        try:
            with first_shard(running, build()[0]) as shard:
                ours, alone = in_turns([lambda: build()[1], shard.secs], rounds)
        finally:
            client.close()
    return [
        Comparison(
            "request to the first shard",
            "s",
            ours,
            "the shard's own work",
            alone,
            Limit.more_at_most(LIMIT_SECS),
        )
    ]


if __name__ == "__main__":
    answer(__doc__, measure)
