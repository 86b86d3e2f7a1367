"""Signs of life for the tasks that this builder holds, and finding owners that show none."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from datamill_builder.catalog import Catalog, CatalogUnavailable, tasks
from datamill_builder.catalog.about import about_task
from datamill_builder.catalog.tasks import Claim, LeasedTask

log = logging.getLogger(__name__)

LOOKS_IN_A_LEASE = 6
"""How often somebody has to look, at least, before a task counts as lost."""

_LOCKS_KEPT_SECS = 24 * 3600.0


class Leases(threading.Thread):
    """Beats for every held task, three times in a lease."""

    def __init__(self, catalog: Catalog, lease_secs: float) -> None:
        super().__init__(name="leases", daemon=True)
        self._catalog = catalog
        self._period_secs = lease_secs / 3
        self._lock = threading.Lock()
        self._held: dict[Claim, Callable[[], None]] = {}
        self._stopping = threading.Event()

    @contextmanager
    def hold(self, claim: Claim, on_lost: Callable[[], None]) -> Iterator[None]:
        """Keep a claim alive; call `on_lost`, in another thread, if it was given to another."""
        with self._lock:
            self._held[claim] = on_lost
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(claim, None)

    def run(self) -> None:
        """Beat until stopped."""
        while not self._stopping.wait(self._period_secs):
            with self._lock:
                held = dict(self._held)
            if not held:
                continue
            try:
                with self._catalog.write() as change:
                    lost = tasks.beat(change, list(held))
            except CatalogUnavailable as error:
                log.warning("no sign of life could be given: %s", error)
                continue
            for claim in lost:
                self._tell_lost(claim)

    def _tell_lost(self, claim: Claim) -> None:
        with self._lock:
            on_lost = self._held.get(claim)
        if on_lost is None:
            return  # it was finished between the look at what is held and the beat
        on_lost()
        with about_task(self._catalog, claim.kind, claim.subject):
            log.warning("%s was given to another owner", claim)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()


class Identity:
    """The name of a running builder, with a lock that is free as soon as it is gone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.name = uuid.uuid4().hex
        self._forget_old()
        self._path = folder / f"{self.name}.lock"
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def is_gone(self, owner: str) -> bool:
        """Return whether an owner of this machine is known to be gone; False where unknown."""
        if owner == self.name:
            return False
        try:
            descriptor = os.open(self._folder / f"{owner}.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def release(self) -> None:
        """Give up the name. Its lock stays for a while: whoever looks sees that it is free."""
        os.close(self._descriptor)

    def _forget_old(self) -> None:
        for lock in self._folder.glob("*.lock"):
            old = time.time() - lock.stat().st_mtime > _LOCKS_KEPT_SECS
            if old and self.is_gone(lock.stem):
                lock.unlink(missing_ok=True)


class Watch:
    """Tells which leased tasks have lost their owner, by one watcher's monotonic clock."""

    def __init__(self, identity: Identity, lease_secs: float) -> None:
        self._identity = identity
        self._lease_secs = lease_secs
        self._seen: dict[LeasedTask, float] = {}
        self._looked_at = time.monotonic()

    def lost(self, leased: list[LeasedTask]) -> list[LeasedTask]:
        """Return the tasks without a sign of life for a lease's length, or whose owner is gone."""
        now = time.monotonic()
        # While the catalog was away nobody could show a sign of life, and while this process was
        # paused it saw none: a look counts for so much time at most.
        blind_secs = max(0.0, now - self._looked_at - self._lease_secs / LOOKS_IN_A_LEASE)
        self._looked_at = now
        self._seen = {task: self._seen.get(task, now - blind_secs) + blind_secs for task in leased}
        return [
            task
            for task, since in self._seen.items()
            if now - since > self._lease_secs or self._identity.is_gone(task.owner)
        ]
