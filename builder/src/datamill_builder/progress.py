"""Progress events: at most one a second per build, and none lost that matters."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from datamill import topology
from datamill.broker import Outbound
from datamill.events import Progress
from datamill_builder.catalog import Catalog, CatalogUnavailable, lifecycle
from datamill_builder.catalog.outbox import new_message_id

log = logging.getLogger(__name__)

_PERIOD_SECS = 1.0


class ProgressTeller(threading.Thread):
    """Publishes how far the builds are that this builder works on."""

    def __init__(self, catalog: Catalog, send: Callable[[list[Outbound]], None]) -> None:
        super().__init__(name="progress", daemon=True)
        self._catalog = catalog
        self._send = send
        self._lock = threading.Lock()
        self._records: dict[str, dict[int, int]] = defaultdict(dict)
        self._began: dict[str, float] = {}
        self._before: dict[str, int] = {}
        """How many records a build had when this builder began to tell of it."""
        self._stopping = threading.Event()

    def note(self, content_key: str, index: int, records: int) -> None:
        """Note how many records a shard in hand has."""
        with self._lock:
            self._records[content_key][index] = records
            self._began.setdefault(content_key, time.monotonic())

    def forget(self, content_key: str, index: int) -> None:
        """Forget a shard that is not in hand any more."""
        with self._lock:
            self._records[content_key].pop(index, None)
            if not self._records[content_key]:
                del self._records[content_key]

    def run(self) -> None:
        """Publish every second until stopped."""
        while not self._stopping.wait(_PERIOD_SECS):
            with self._lock:
                in_hand = {key: sum(shards.values()) for key, shards in self._records.items()}
                self._began = {k: v for k, v in self._began.items() if k in in_hand}
                self._before = {k: v for k, v in self._before.items() if k in in_hand}
                began = dict(self._began)
            try:
                for key, records in in_hand.items():
                    self._tell(key, records, began.get(key))
            except CatalogUnavailable as error:
                log.warning("no progress could be told: %s", error)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _tell(self, key: str, in_hand: int, began: float | None) -> None:
        with self._catalog.read() as connection:
            build = lifecycle.find_build(connection, key)
            done, records = lifecycle.finished(connection, key)
            ids = lifecycle.aliases(connection, key)
        if build is None or not build.shards or began is None:
            return
        before = self._before.setdefault(key, records)
        records += in_hand
        per_sec = (records - before) / max(1e-3, time.monotonic() - began)
        left = max(0, (build.records_estimate or 0) - records)
        secs_left = left / per_sec if per_sec and build.records_estimate else None
        self._send([self._message(i, build, done, records, per_sec, secs_left) for i in ids])

    def _message(
        self,
        dataset_id: str,
        build: Any,
        done: int,
        records: int,
        per_sec: float,
        secs_left: float | None,
    ) -> Outbound:
        event = Progress(
            dataset_id=dataset_id,
            shards_done=done,
            shards=build.shards,
            records_done=records,
            records_per_sec=round(per_sec, 2),
            secs_left=None if secs_left is None else round(secs_left, 1),
        )
        return Outbound(
            topology.EVENTS_EXCHANGE, event.routing_key, event.encode(), new_message_id()
        )
