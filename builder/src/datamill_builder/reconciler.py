"""The reconciler: puts back what is missing, so that deleting every queue costs only time."""

from __future__ import annotations

import logging
import threading
import time

from datamill import topology
from datamill.broker import connect, translated
from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog, counted, tasks
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.holdings import drop_leftovers
from datamill_builder.catalog.outbox import unsent_tickets
from datamill_builder.catalog.states import TaskKind
from datamill_builder.leases import LOOKS_IN_A_LEASE, Identity, Watch
from datamill_builder.store import Store

log = logging.getLogger(__name__)

_MAX_WOKEN = 5000
_DECLARE_SECS = 30.0
"""How often what somebody may have deleted on the broker is declared again, at least."""
_QUEUES = {TaskKind.SHARD: topology.SHARDS_QUEUE, TaskKind.PACK: topology.PACKS_QUEUE}


class Reconciler(threading.Thread):
    """Takes tasks from owners that are gone, and wakes workers for tasks that nobody knows of."""

    def __init__(
        self,
        url: str,
        catalog: Catalog,
        store: Store,
        identity: Identity,
        lease_secs: float,
        counters: Counters | None = None,
    ) -> None:
        super().__init__(name="reconciler", daemon=True)
        self._url = url
        self._catalog = catalog
        self._store = store
        self._counters = counters or Counters()
        self._watch = Watch(identity, lease_secs)
        self._period_secs = min(2.0, lease_secs / LOOKS_IN_A_LEASE)
        self._forgotten: set[tuple[TaskKind, str, int]] = set()
        self._declared_at = time.monotonic()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look every few seconds until stopped."""
        while not self._stopping.is_set():
            try:
                self._reap()
                self._wake_forgotten()
                if time.monotonic() - self._declared_at > _DECLARE_SECS:
                    # Consumers notice that their queue is gone; nobody misses a binding, an
                    # exchange, or the queue of dead letters.
                    self._empty_queues()
            except (DatamillError, OSError) as error:
                log.warning("reconciling waits: %s", error)
            self._stopping.wait(self._period_secs)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _reap(self) -> None:
        with self._catalog.read() as connection:
            leased = tasks.leased(connection)
        lost = self._watch.lost(leased)
        if lost:
            log.info("tasks that have lost their owner: %d", len(lost))
            with self._catalog.write() as change:
                tasks.take_from(change, lost)
            self._store.sweep()
            drop_leftovers(self._catalog, self._store)

    def _wake_forgotten(self) -> None:
        """Wake somebody for tasks that stay pending while their queue is empty.

        Twice in a row: a message may be between the outbox and the queue at any one look.
        """
        with self._catalog.read() as connection:
            pending = tasks.pending(connection)
            # While the broker takes no messages, more of them would only pile up.
            on_their_way = set(unsent_tickets(connection)) if pending else set()
        pending = [task for task in pending if tasks.ticket(*task) not in on_their_way]
        if not pending:
            self._forgotten = set()
            return
        empty = self._empty_queues()
        candidates = {task for task in pending if _queue(task[0]) in empty}
        forgotten = sorted(candidates & self._forgotten)[:_MAX_WOKEN]
        self._forgotten = candidates
        if forgotten:
            log.info("pending tasks that are in no queue, put back: %d", len(forgotten))
            with self._catalog.write() as change:
                for kind, subject, index in forgotten:
                    tasks.wake(change, kind, subject, index)
            self._forgotten = set()

    def _empty_queues(self) -> set[str]:
        """Declare everything; return the queues of tasks that are empty."""
        self._declared_at = time.monotonic()
        with translated(self._url):
            connection = connect(self._url, "datamill builder: reconciler")
            try:
                channel = connection.channel()
                topology.declare(channel)
                dead = channel.queue_declare(topology.DEAD_QUEUE, passive=True)
                self._counters.level(counted.DEAD_LETTERS, dead.method.message_count)
                return {
                    name
                    for name in (topology.BUILDS_QUEUE, topology.PACKS_QUEUE, topology.SHARDS_QUEUE)
                    if channel.queue_declare(name, passive=True).method.message_count == 0
                }
            finally:
                if connection.is_open:
                    connection.close()


def _queue(kind: TaskKind) -> str:
    return _QUEUES.get(kind, topology.BUILDS_QUEUE)
