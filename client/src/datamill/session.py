"""What connects this process with a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datamill.errors import DatamillError
    from datamill.subscription import Subscription
    from datamill.tracker import Tracker

REPEAT_SECS = 30.0
"""How often a request without an answer is made again: a missed event must hang no training."""

PATIENCE_SECS = 15.0
"""How long a service that was reached before may take to come back."""


class Session(ABC):
    """Asks for datasets and feeds their trackers. Safe for any thread."""

    http_url: str | None
    """The notifier, where it is known."""

    broken: DatamillError | None = None
    """Why this session is of no use any more: the broker refuses it for good."""

    @abstractmethod
    def ask(self, tracker: Tracker, patience_secs: float = PATIENCE_SECS) -> None:
        """Ask for a tracker's dataset; go on asking until there is an answer.

        Returns once the service has the request. Raises `ServiceUnavailable` if it can't be
        reached; where it could before, only after `patience_secs`: it may be restarting.
        """

    @abstractmethod
    def watch(self, tracker: Tracker) -> None:
        """Feed a tracker without asking for its dataset. Raises `ServiceUnavailable`."""

    @abstractmethod
    def subscribe(self, pattern: str) -> Subscription:
        """Return the events of a routing key pattern, from now on."""

    @abstractmethod
    def close(self) -> None:
        """End the threads and connections."""
