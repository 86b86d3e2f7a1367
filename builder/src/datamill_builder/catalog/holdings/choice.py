"""What of the store goes first, and what may not go: decisions alone, nothing is read or written.

Each archive has a score, and the one with the highest goes:

    score = seconds since its last use * bytes / seconds that handlers worked on it

Bytes times idle time is the space-time that it has cost in vain (A. J. Smith, "Long term file
migration: development and evaluation of algorithms", Communications of the ACM 24(8), 1981); to
divide by what it takes to have it again is the cost-aware part of GreedyDual-Size, which keeps
what has the largest cost per byte (P. Cao and S. Irani, "Cost-aware WWW proxy caching
algorithms", USENIX Symposium on Internet Technologies and Systems, 1997). So a small dataset that
took a night outlives a large one that is copied in a minute, but not for ever.

Times are those of clocks that may be wrong. One that was set back keeps nothing for ever, and one
that was set forward lets go what somebody was just told of: that is built again when it is asked
for, and whoever has begun to download it is not disturbed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from datamill_builder.catalog.holdings.holding import Holding

KEPT_SECS = 3600.0
"""An archive stays for so long after it was made, asked for or fetched: who was told of it may be
on the way, or between two parts of it. So may who trains on it shard by shard, and asks for the
next one when this one is used up: an hour, less the minute by which its reading is noted late."""

_LEAST_BUILD_SECS = 1.0
"""What is made in less has other costs than the handler's: it is planned, packed, published."""


class Stays(StrEnum):
    """Why something stays."""

    PINNED = "pinned"
    """Somebody said so."""
    DOWNLOADED = "downloading"
    """It is being fetched just now."""
    WANTED = "wanted"
    """It is asked for just now: what the request means is being looked up, and it was this."""
    RECENT = "recent"
    """It was told ready, fetched, or read shard by shard, within the last hour."""
    FITS = "fits"
    """There is room for it."""


@dataclass(frozen=True)
class Choice:
    """`go`: in this order; `stay`: as they would go after those. `left_bytes`: once they went."""

    go: list[Holding]
    stay: list[tuple[Holding, Stays]]
    left_bytes: int


def score(holding: Holding) -> float:
    """Return how well it can be spared, in bytes: the module says how, and why."""
    cost_secs = max(holding.build_secs, _LEAST_BUILD_SECS)
    return holding.idle_secs * holding.bytes / cost_secs


def in_order(found: Iterable[Holding]) -> list[Holding]:
    """Return what can best be spared first."""
    return sorted(found, key=lambda holding: (-score(holding), holding.content_key))


def protection(holding: Holding, kept_secs: float = KEPT_SECS) -> Stays | None:
    """Return why it may not go; None where it may."""
    if holding.is_pinned:
        return Stays.PINNED
    if holding.downloads:
        return Stays.DOWNLOADED
    if holding.is_wanted:
        return Stays.WANTED
    if holding.idle_secs < kept_secs:
        return Stays.RECENT
    return None


def choose(
    found: Iterable[Holding],
    held_bytes: int,
    budget_bytes: int | None,
    kept_secs: float = KEPT_SECS,
) -> Choice:
    """Return what has to go so that the rest fits into a budget; nothing where there is none."""
    go: list[Holding] = []
    stay: list[tuple[Holding, Stays]] = []
    for holding in in_order(found):
        why = protection(holding, kept_secs)
        if why is None and (budget_bytes is None or held_bytes <= budget_bytes):
            why = Stays.FITS
        if why is not None:
            stay.append((holding, why))
        else:
            go.append(holding)
            held_bytes -= holding.bytes
    return Choice(go, stay, held_bytes)
