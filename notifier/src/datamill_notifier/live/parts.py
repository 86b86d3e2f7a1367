"""What the live page works with beside the notifier's other parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.holdings import held_bytes
from datamill_builder.catalog.usage import Saving, savings
from datamill_notifier.live.kept import Kept
from datamill_notifier.live.progress import LatestProgress
from datamill_notifier.live.sample import Samples


@dataclass(frozen=True)
class Totals:
    """What takes long to add up. `store_bytes`: archives, and shards that are in none yet."""

    saving: Saving
    store_bytes: int


@dataclass(frozen=True)
class LiveParts:
    """What is kept between two looks at the page."""

    store_budget_bytes: int | None
    totals: Kept[Totals]
    progress: LatestProgress
    samples: Samples = field(default_factory=Samples)


def live_parts(
    catalog: Catalog, progress: LatestProgress, store_budget_bytes: int | None
) -> LiveParts:
    """Return the parts of a notifier."""

    def total() -> Totals:
        with catalog.read() as connection:
            return Totals(savings(connection), held_bytes(connection))

    return LiveParts(store_budget_bytes, Kept(total), progress)
