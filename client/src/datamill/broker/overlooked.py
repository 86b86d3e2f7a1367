"""Noticing a consumer that the broker has forgotten.

When a quorum queue is deleted and declared again at once, RabbitMQ (seen on 3.10.8) now and then
tells nobody: the connection and the channel stay open, no consumer is cancelled, the new queue
has messages, and whoever consumed the old one would wait for ever.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Set
from typing import Any

LOOK_SECS = 5.0
"""How often to look. Who waits while messages lie there gets one within milliseconds."""


class Overlooked:
    """Looks after the consumers of one queue, over a channel of one connection."""

    def __init__(self, channel: Any, queue_name: str) -> None:
        self._channel = channel
        self._queue_name = queue_name
        self._look_at = time.monotonic() + LOOK_SECS
        self._before: Set[Hashable] = frozenset()

    def look(self, waiting: Set[Hashable]) -> bool:
        """Return whether somebody was overlooked: waits, twice in a row, and messages are there.

        `waiting` holds who waits; the same only as long as nothing was delivered to them.
        """
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_SECS
        passed_over = waiting if waiting and self._has_messages() else frozenset()
        overlooked = passed_over & self._before
        self._before = passed_over
        return bool(overlooked)

    def _has_messages(self) -> bool:
        declared = self._channel.queue_declare(self._queue_name, passive=True)
        return bool(declared.method.message_count)
