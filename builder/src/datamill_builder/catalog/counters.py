"""Counting: in memory where something happens, in the catalog for parts without an HTTP server.

What is written is added to what is there, so that a count only ever grows, whichever builder
counts and however often it is started anew. What a process counted since its last write is lost
when it is killed.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.rows import upsert
from datamill_builder.catalog.schema import counters

Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, in the order of their names."""

Totals = dict[tuple[str, Labels], float]
"""Values by name and labels; of a histogram its `_sum`, and each `_bucket` by itself."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Something that is counted, as `/metrics` tells it.

    `known`: values of the label that are told even while they are 0: a graph has no holes then.
    `buckets`: upper bounds, where it is a histogram. `is_level`: the last value counts, no sum.
    """

    name: str
    help: str
    label: str | None = None
    known: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    is_level: bool = False

    def bucket_of(self, value: float) -> str:
        """Return the upper bound of the bucket that a value is in."""
        place = bisect_left(self.buckets, value)
        return f"{self.buckets[place]:g}" if place < len(self.buckets) else "+Inf"


_Key = tuple[Counted, str, str]
"""What, the value of its label, the bucket; both are empty where it has none."""


class Counters:
    """What one process has counted; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[_Key, float] = defaultdict(float)
        self._levels: dict[_Key, float] = {}

    def add(self, what: Counted, count: float = 1, value: str = "") -> None:
        """Count something; `value`: of its label."""
        with self._lock:
            self._counts[what, value, ""] += count

    def observe(self, what: Counted, value: float) -> None:
        """Count a value of a histogram."""
        bucket = what.bucket_of(value)
        with self._lock:
            self._counts[what, "", bucket] += 1
            self._counts[what, "", ""] += value

    def level(self, what: Counted, value: float) -> None:
        """Note where something stands."""
        with self._lock:
            self._levels[what, "", ""] = value

    def totals(self) -> Totals:
        """Return what was counted so far."""
        with self._lock:
            return _totals(self._counts) | _totals(self._levels)

    def take(self) -> Taken:
        """Return what was counted since this was called last."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(float)
            return Taken(counts, dict(self._levels))

    def put_back(self, taken: Taken) -> None:
        """Count what was taken as not taken: it could not be written."""
        with self._lock:
            for key, count in taken.counts.items():
                self._counts[key] += count


@dataclass(frozen=True)
class Taken:
    """What was counted in a while, and where levels stood at its end."""

    counts: Mapping[_Key, float]
    levels: Mapping[_Key, float]


def add(change: Transaction, part: str, taken: Taken) -> None:
    """Add what a part has counted; several processes may be the same part."""
    _write(change.connection, part, _totals(taken.counts), added_up=["value"])
    _write(change.connection, part, _totals(taken.levels), added_up=[])


def read(connection: Connection) -> Totals:
    """Return what all parts have counted."""
    query = select(counters.c.name, counters.c.labels, func.sum(counters.c.value))
    rows = connection.execute(query.group_by(counters.c.name, counters.c.labels))
    return {(name, tuple(json.loads(labels).items())): value for name, labels, value in rows}


def _bound(bound: float) -> str:
    return f"{bound:g}"


def _totals(counts: Mapping[_Key, float]) -> Totals:
    return {_named(*key): count for key, count in counts.items()}


def _named(what: Counted, value: str, bucket: str) -> tuple[str, Labels]:
    labels = {what.label: value} if what.label else {}
    if not what.buckets:
        return what.name, tuple(labels.items())
    if not bucket:
        return f"{what.name}_sum", tuple(labels.items())
    return f"{what.name}_bucket", tuple(sorted({**labels, "le": bucket}.items()))


def _write(connection: Connection, part: str, totals: Totals, added_up: list[str]) -> None:
    moment = time.time()
    rows = [
        {
            "part": part,
            "name": name,
            "labels": json.dumps(dict(labels), sort_keys=True),
            "value": value,
            "updated_at": moment,
        }
        for (name, labels), value in sorted(totals.items())  # as all who lock several
    ]
    if rows:
        upsert(connection, counters, rows, ["part", "name", "labels"], added_up)
