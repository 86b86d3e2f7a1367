"""The outbox relay: what was committed gets published, and struck out once the broker has it."""

from __future__ import annotations

import logging
import queue
import threading
import time

from datamill.broker import Outbound, OutboundRelay
from datamill.failpoint import failpoint
from datamill_builder.catalog import Catalog, CatalogUnavailable
from datamill_builder.catalog.outbox import confirmed, unsent, unsent_ids

log = logging.getLogger(__name__)

_LOOK_SECS = 1.0
_GATHER_SECS = 0.1
_MAX_STRUCK_OUT = 2000


class OutboxRelay(threading.Thread):
    """Publishes the messages of this process at once, and those that others left behind.

    A message that is seen in the outbox for a second without being ours belongs to a process that
    has no relay or is gone. Publishing twice does no harm; not publishing would.
    """

    def __init__(self, url: str, catalog: Catalog) -> None:
        super().__init__(name="outbox", daemon=True)
        self._catalog = catalog
        self._confirmed: queue.SimpleQueue[list[Outbound] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ours: set[str] = set()
        self._uncommitted: set[str] = set()
        self._foreign: set[str] = set()
        self._looked_at = 0.0
        self._ended = threading.Event()
        self.publisher = OutboundRelay(
            url, "datamill builder: outbox", self._confirmed.put, self._still_unsent
        )
        catalog.publish_by(self)

    def send(self, messages: list[Outbound]) -> None:
        """Publish messages that are in the outbox; from any thread."""
        if not messages:
            return
        failpoint("outbox.committed")
        with self._lock:
            unsent = [m for m in messages if m.message_id not in self._uncommitted]
            self._uncommitted.difference_update(m.message_id for m in messages)
            self._ours.update(m.message_id for m in messages)
        self.publisher.send(unsent)

    def send_early(self, messages: list[Outbound]) -> None:
        """Publish messages that will be in the outbox; from any thread."""
        with self._lock:
            self._uncommitted.update(message.message_id for message in messages)
        self.publisher.send(messages)

    def forget(self, messages: list[Outbound]) -> None:
        """Expect messages in the outbox no more; from any thread."""
        with self._lock:
            self._uncommitted.difference_update(message.message_id for message in messages)

    def tell(self, messages: list[Outbound]) -> None:
        """Publish messages that are of no use later; from any thread."""
        self.publisher.offer(messages)

    def _still_unsent(self, messages: list[Outbound]) -> list[Outbound]:
        """Return those that are in the outbox: other builders may have published the others."""
        with self._lock:
            ids = set(self._uncommitted)
        with self._catalog.read() as connection:
            ids |= unsent_ids(connection)
        with self._lock:
            self._ours.difference_update(m.message_id for m in messages if m.message_id not in ids)
        return [message for message in messages if message.message_id in ids]

    def start(self) -> None:
        """Start publishing."""
        self.publisher.start()
        super().start()

    def run(self) -> None:
        """Strike out what is confirmed, look for what others left; until stopped."""
        messages: list[Outbound] = []
        while self._gather(messages):
            try:
                messages = self._strike_out(messages)
                if time.monotonic() - self._looked_at > _LOOK_SECS:
                    self._look()
            except CatalogUnavailable as error:
                log.warning("the outbox waits: %s", error)
                if self._ended.wait(_LOOK_SECS):
                    return  # the next process strikes out, or sends once more

    def _gather(self, messages: list[Outbound]) -> bool:
        """Wait for confirmed messages and add them; return False at the end."""
        try:
            more = self._confirmed.get(timeout=_LOOK_SECS)
            # One change for many messages; who asks just now should not wait for this.
            self._ended.wait(_GATHER_SECS)
            while more is not None:
                messages += more
                if len(messages) >= _MAX_STRUCK_OUT:
                    return True
                more = self._confirmed.get_nowait()
        except queue.Empty:
            return True
        if messages:
            self._confirmed.put(None)
        return bool(messages)

    def _strike_out(self, messages: list[Outbound]) -> list[Outbound]:
        """Return those that are not in the outbox yet: they were published early."""
        with self._lock:
            early = [m for m in messages if m.message_id in self._uncommitted]
            there = [m for m in messages if m.message_id not in self._uncommitted]
        if there:
            failpoint("outbox.confirmed")
            with self._catalog.write() as change:
                confirmed(change, there)
            with self._lock:
                self._ours.difference_update(message.message_id for message in there)
        return early

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        with self._catalog.read() as connection:
            rows = unsent(connection)
        with self._lock:
            foreign = [row for row in rows if row.message_id not in self._ours]
        seen_again = [row for row in foreign if row.message_id in self._foreign]
        self._foreign = {row.message_id for row in foreign}
        if seen_again:
            self.send(seen_again)

    def adopt(self) -> None:
        """Publish everything that is in the outbox: what an earlier process left."""
        with self._catalog.read() as connection:
            self.send(unsent(connection, limit=1_000_000))

    def stop(self, grace_secs: float) -> None:
        """Publish what is waiting, for at most so long, and end."""
        deadline = time.monotonic() + grace_secs
        while self._worth_waiting() and time.monotonic() < deadline:
            self.publisher.join(0.05)
        self.publisher.stop()
        self.publisher.join(5.0)
        self._confirmed.put(None)
        self._ended.set()
        self.join(5.0)

    def _worth_waiting(self) -> bool:
        publisher = self.publisher
        return publisher.is_alive() and not (publisher.blocked or publisher.idle())
