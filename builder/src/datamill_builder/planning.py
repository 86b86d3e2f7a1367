"""From a content key to shards: list the source items, put them in order, cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datamill_builder.catalog.lifecycle import PlannedShard

MAX_SHARDS = 4096
"""A build has no more shards than this per split; they grow instead."""


def shards_for(items: int, records: int, records_per_shard: int) -> int:
    """Return into how many shards a split is cut: a function of the plan alone."""
    wanted = -(-records // max(1, records_per_shard))
    return max(1, min(wanted, items, MAX_SHARDS))


def cut(plan: Path, split: str, items: int, shards: int) -> Iterator[PlannedShard]:
    """Yield slices of a plan's file with equal numbers of lines, give or take one."""
    starts = {number * items // shards for number in range(shards)}
    offset = begin = 0
    with plan.open("rb") as lines:
        for number, line in enumerate(lines):
            if number in starts and number:
                yield PlannedShard(split, begin, offset - begin)
                begin = offset
            offset += len(line)
    yield PlannedShard(split, begin, offset - begin)


def cut_all(folder: Path, counts: dict[str, Any], records_per_shard: int) -> list[PlannedShard]:
    """Return the shards of all splits; the training split comes first."""
    planned: list[PlannedShard] = []
    for split in sorted(counts, key=lambda name: (name != "train", name)):
        items, records = counts[split]["items"], counts[split]["records"]
        number = shards_for(items, records, records_per_shard)
        planned += cut(folder / f"{split}.jsonl", split, items, number)
    return planned
