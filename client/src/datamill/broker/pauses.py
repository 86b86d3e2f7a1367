"""How long to wait before connecting again."""

from __future__ import annotations

import random
import time

MAX_BACKOFF_SECS = 30.0
"""The longest pause between two attempts to connect."""

_HEALTHY_SECS = 60.0
_ATTEMPT_AFTER_WORK = 3


def backoff(attempt: int) -> float:
    """Return seconds to wait before the given attempt (0, 1, …): full jitter, at most 30 s."""
    return random.uniform(0.05, min(MAX_BACKOFF_SECS, 0.25 * 2.0 ** min(attempt, 10)))


class Pauses:
    """The pauses of one connection that is made again and again, each at random.

    They grow while there is no connection. After one that worked they stay below 2 s, so that
    work goes on where connections break every few seconds; after one that worked for a minute
    they begin anew.
    """

    def __init__(self) -> None:
        self.attempt = 0
        """How many attempts have failed in a row, or so."""
        self._worked_since: float | None = None

    def worked(self) -> None:
        """Say that the connection is of use now."""
        self._worked_since = time.monotonic()

    def failed(self) -> None:
        """Say that it is of no use after all."""
        self._worked_since = None

    def next(self) -> float:
        """Return the seconds to wait, now that there is no connection (any more)."""
        since, self._worked_since = self._worked_since, None
        self.attempt += 1
        if since is not None:
            healthy = time.monotonic() - since > _HEALTHY_SECS
            self.attempt = 0 if healthy else min(self.attempt, _ATTEMPT_AFTER_WORK)
        return backoff(self.attempt)
