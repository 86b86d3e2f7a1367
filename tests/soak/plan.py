"""What happens when: a list of faults that follows from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

WEIGHTS = {
    "kill a builder": 4,
    "kill a builder at a failpoint": 6,
    "pause a builder": 3,
    "stop a builder": 3,
    "kill a handler": 4,
    "kill the notifier": 3,
    "stop the notifier": 1,
    "kill the broker": 1,
    "stop the broker's application": 1,
    "close the broker's connections": 3,
    "delete a queue": 3,
    "raise a memory alarm": 2,
    "shorten the acknowledgement timeout": 1,
    "black out the network": 2,
    "cut the network": 2,
    "cut downloads": 2,
    "send poison": 3,
    "cancel a dataset": 5,
    "evict an archive": 3,
    "flip a bit in a shard": 3,
    "truncate an archive": 2,
    "flip a bit in an archive": 2,
    "delete an archive": 2,
    "change raw data": 2,
    "lock the catalog": 2,
    "fill the disk": 2,
    "move a clock": 2,
    "replay accepted requests": 2,
}

SHORTEST_GAP_SECS = 2.0
LONGEST_GAP_SECS = 7.0
LONGEST_SECS = 6.0


@dataclass(frozen=True)
class PlannedFault:
    """A fault: when it begins, how long it lasts, and a number in [0, 1) to choose a victim by."""

    at_secs: float
    name: str
    secs: float
    dice: float


def planned_faults(seed: int, duration_secs: float) -> Iterator[PlannedFault]:
    """Yield the faults of a run, in order."""
    rng = random.Random(f"faults {seed}")
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    at_secs = 5.0
    while at_secs < duration_secs:
        (name,) = rng.choices(names, weights)
        fault = PlannedFault(at_secs, name, rng.uniform(0.5, LONGEST_SECS), rng.random())
        yield fault
        at_secs += rng.uniform(SHORTEST_GAP_SECS, LONGEST_GAP_SECS)
