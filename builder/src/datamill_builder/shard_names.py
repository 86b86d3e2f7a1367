"""What the shards of a build are called in its archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from datamill.archive import layout


def shard_names(dataset_name: str, shards: Sequence[Any]) -> list[str]:
    """Return the name of each shard, in their order: they are counted per split."""
    totals = Counter(shard.split for shard in shards)
    seen: Counter[str] = Counter()
    names = []
    for shard in shards:
        names.append(
            layout.shard_entry_name(
                dataset_name, shard.split, seen[shard.split], totals[shard.split]
            )
        )
        seen[shard.split] += 1
    return names
