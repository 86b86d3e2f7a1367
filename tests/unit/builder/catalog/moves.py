"""The moves between states, as the log tells them."""

from __future__ import annotations

import logging
from collections import Counter

from datamill_builder.catalog import engine
from datamill_builder.catalog.tasks import Claim

_ENDS = {"failed", "cancelled"}
ALLOWED = {
    "tasks": {
        "pending": {"leased", "cancelled"},
        "leased": {"pending", "done", "failed", "cancelled"},
        "done": {"pending"},
        "failed": {"pending"},
        "cancelled": {"pending"},
    },
    "datasets": {
        "resolving": {"resolved", "failed"},
        "resolved": {"resolving"},
        "failed": {"resolving"},
    },
    "builds": {
        "planning": {"building", *_ENDS},
        "building": {"packing", *_ENDS},
        "packing": {"ready", "building", *_ENDS},
        "ready": {"evicted", "building"},
        "failed": {"planning", "building"},
        "cancelled": {"planning", "building"},
        "evicted": {"building"},
    },
    "hook_calls": {
        "pending": {"done", "given_up"},
        "done": set(),
        "given_up": {"pending"},
    },
}
"""Written a second time, so that a line too many in the builder's tables is seen."""


class Moves(logging.Handler):
    """Hears the builder's log: each move, and what went wrong in a way that was not foreseen."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._log = logging.getLogger("datamill_builder")
        self._engine = logging.getLogger(engine.__name__)
        self.clear()

    def clear(self) -> None:
        """Begin with nothing."""
        self._now: dict[tuple[str, str], str] = {}
        self._ends: Counter[str] = Counter()
        self._wrong: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._wrong.append(f"{record.getMessage()}: {record.exc_info[1]!r}")
        if record.name != engine.__name__ or not isinstance(record.args, tuple):
            return
        table, name, origin, to = (str(part) for part in record.args)
        if to not in ALLOWED[table][origin]:
            self._wrong.append(f"{table} {name}: {origin} → {to}")
        before = self._now.get((table, name), origin)
        if before != origin:
            self._wrong.append(f"{table} {name}: left {origin}, but was {before}")
        self._now[table, name] = to
        if origin == "leased" and to in ("done", "failed"):
            self._ends[name] += 1

    def ends(self, claim: Claim) -> int:
        """Return how often somebody ended a task."""
        return self._ends[f"{claim.kind} {claim.subject[:12]} {claim.index}"]

    def check(self) -> None:
        """Raise if anything was wrong since the beginning."""
        assert not self._wrong

    def __enter__(self) -> Moves:
        self._log.addHandler(self)
        self._log.propagate = False
        self._engine.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_error: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = True
        self._engine.setLevel(logging.NOTSET)
