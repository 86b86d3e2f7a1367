"""What the store holds, and what of it may go: by the catalog alone, whoever asks."""

from datamill_builder.catalog.holdings.choice import (
    KEPT_SECS,
    Choice,
    Stays,
    choose,
    protection,
    score,
)
from datamill_builder.catalog.holdings.holding import (
    Holding,
    Kind,
    held_bytes,
    holdings,
    ids_of,
)
from datamill_builder.catalog.holdings.leftovers import (
    Stray,
    drop_evicted_archive,
    drop_leftovers,
    drop_packed_shards,
    drop_stray_archives,
    strays,
)
from datamill_builder.catalog.holdings.room import Room, make_room, take_away

__all__ = [
    "KEPT_SECS",
    "Choice",
    "Holding",
    "Kind",
    "Room",
    "Stays",
    "Stray",
    "choose",
    "drop_evicted_archive",
    "drop_leftovers",
    "drop_packed_shards",
    "drop_stray_archives",
    "held_bytes",
    "holdings",
    "ids_of",
    "make_room",
    "protection",
    "score",
    "strays",
    "take_away",
]
