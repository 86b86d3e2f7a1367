"""Time to the first batch from a cold request, for a build of a minute and one of ten.

A training asks for what nobody has asked for before, and takes its first batch of 32 as soon as
it can: from the first shard, while the rest is built. The longer build has ten times the source
items. It is cancelled once the batch is there. Beside both stands the first shard's own work,
which nobody can do without. The environment is warm, the raw data known, TensorFlow imported.

Two kinds of raw data: large photographs to small records, of which two cores build 3,000 in a
minute, and photographs of ImageNet's size by the published example, of which it is 30,000.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import datamill
from benchmarks.command import answer
from benchmarks.first_shard import first_shard
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.photographs import EXAMPLE_CONFIG, link_classes
from benchmarks.service import Running, as_client, cores, service
from datamill_builder.catalog import Catalog, lifecycle

LIMIT = 1.2
BATCH = 32
MINUTE, LONGER = "minute", "ten-minutes"
KINDS: dict[str, tuple[dict[str, Any], int]] = {
    "highres": ({"image_size": [224, 224]}, 3_000),
    "photos": (EXAMPLE_CONFIG, 30_000),
}
"""What is asked for, and of how many photographs that takes two cores a minute."""

_LOOK_SECS = 0.2
_LONGEST_SECS = 60.0


def measure(rounds: int, kinds: tuple[str, ...] = tuple(KINDS)) -> list[Comparison]:
    """Ask and take a batch, of the short build and of the long one, in turns."""
    return [_measure(kind, rounds) for kind in kinds]


def _measure(kind: str, rounds: int) -> Comparison:
    config, count = KINDS[kind]
    seeds = itertools.count()
    named = {name: {"handler": "classification"} for name in (MINUTE, LONGER)}
    with ExitStack() as stack:
        running = stack.enter_context(
            service(
                notifier=True,
                DATAMILL_WORKERS=str(cores()),
                DATAMILL_DATASETS=json.dumps(named),
                # So soon do handlers end whose build was cancelled.
                DATAMILL_LEASE_SECS="3",
            )
        )
        stack.enter_context(as_client(running))
        for name, factor in ((MINUTE, 1), (LONGER, 10)):
            link_classes(running.raw / name, factor * count, kind)

        def batch(name: str) -> tuple[float, str]:
            with timed() as watch:
                dataset = datamill.request_dataset(name, "1.0.0", {**config, "seed": next(seeds)})
                first = next(iter(dataset.as_dataset(batch_size=BATCH)))
            assert first["image"].shape[0] == BATCH
            assert dataset.state == "building", f"{name} was {dataset.state}"
            _cancel(running, dataset.id)
            return watch.secs, dataset.id

        _, dataset_id = batch(MINUTE)
        shard = stack.enter_context(first_shard(running, dataset_id))
        minute, longer, alone = in_turns(
            [lambda: batch(MINUTE)[0], lambda: batch(LONGER)[0], shard.secs], rounds
        )
    return Comparison(
        f"first batch of a build of ten minutes, {kind}",
        "s",
        longer,
        "of one minute",
        minute,
        Limit.times_at_most(LIMIT),
        note=f"the first shard's own work: {statistics.median(alone):.3g} s",
    )


def _cancel(running: Running, dataset_id: str) -> None:
    """Stop a build, and wait until its handlers have ended or rest."""
    catalog = Catalog(f"sqlite:///{running.home}/catalog.sqlite")
    with catalog.write() as change:
        assert lifecycle.cancel(change, dataset_id)
    catalog.close()
    before, deadline = -1, time.monotonic() + _LONGEST_SECS
    while (now := _ticks_of_children(running)) != before:
        assert time.monotonic() < deadline, "the cancelled build goes on"
        before = now
        time.sleep(_LOOK_SECS)


def _ticks_of_children(running: Running) -> int:
    """Return what the builder's handlers have used of the processors."""
    assert running.builder.process is not None
    total = 0
    for task in Path(f"/proc/{running.builder.process.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total


if __name__ == "__main__":
    answer(__doc__, measure)
