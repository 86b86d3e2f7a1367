"""When a hook is told again that could not be told."""

from __future__ import annotations

import random

PAUSES_SECS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 28800.0)
"""After each attempt that failed; after one more, about a day after the first, it is given up."""

LONGEST_WISH_SECS = 6 * 3600.0
"""How long a `Retry-After` is followed at most."""

_SPREAD = 0.1


def is_spent(attempts: int) -> bool:
    """Return whether there is to be no attempt after so many."""
    return attempts > len(PAUSES_SECS)


def pause_secs(attempts: int, wish_secs: float = 0.0) -> float | None:
    """Return how long to wait after so many attempts; None if there is to be no other.

    `wish_secs`: how long the other side wants to be left alone. A little at random is added, so
    that those who failed together do not come together again.
    """
    if is_spent(attempts):
        return None
    secs = max(PAUSES_SECS[attempts - 1], min(wish_secs, LONGEST_WISH_SECS))
    return secs * (1 + random.uniform(0, _SPREAD))
