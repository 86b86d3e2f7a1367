"""The builder: its parts, put together, started and stopped in order."""

from __future__ import annotations

import logging
import sys
import time

from datamill import topology
from datamill.broker import BatchConsumer, SlotConsumer
from datamill.errors import DatamillError
from datamill.settings import Settings
from datamill_builder.address import PublicAddress
from datamill_builder.asked_for import WorkFor
from datamill_builder.assembler import Assembler
from datamill_builder.attempts import Attempts
from datamill_builder.catalog import Catalog, PatientChanges
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.holdings import drop_leftovers
from datamill_builder.disk_space import DiskSpace
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.pool import HandlerPool
from datamill_builder.handlers.sources import sources_of
from datamill_builder.handlers.tools import kill_tools, stop_tools
from datamill_builder.heartbeat import Heartbeat
from datamill_builder.hooks.caller import HookCaller
from datamill_builder.hooks.housekeeping import HookHousekeeper
from datamill_builder.hooks.targets import target_of
from datamill_builder.intake import Intake
from datamill_builder.keeper import Keeper
from datamill_builder.leases import Identity, Leases
from datamill_builder.places import Places
from datamill_builder.progress import ProgressTeller
from datamill_builder.raw_watch import RawWatch
from datamill_builder.reconciler import Reconciler
from datamill_builder.relay import OutboxRelay
from datamill_builder.scrubber import Scrubber
from datamill_builder.shard_claims import ShardClaims
from datamill_builder.steward import Steward
from datamill_builder.stopping import StopSignal
from datamill_builder.store import Store
from datamill_builder.workbench import Workbench
from datamill_builder.worker import ShardWorker

log = logging.getLogger(__name__)

STEWARDS = 16
"""How many requests are resolved and planned at a time: most of them wait for installers."""

PACKERS = 2
"""How many archives are packed at a time."""

_INTAKE_PREFETCH = 500
_POLL_SECS = 0.2
_OUTBOX_GRACE_SECS = 5.0


class PartEnded(DatamillError):
    """A part of the builder has ended that never should."""


class Builder:
    """A builder. `start`, then `wait`, then `stop`, all from one thread."""

    def __init__(self, settings: Settings, broker_url: str) -> None:
        self._settings = settings
        home = settings.home
        self._catalog = Catalog(settings.catalog_address)
        store = Store(home / "store")
        store.sweep()
        drop_leftovers(self._catalog, store)
        self._changes = PatientChanges(self._catalog)
        counters = Counters()
        self._space = DiskSpace(store.root, home)
        self._identity = Identity(home / "builders")
        sources = list(sources_of(settings).values())
        if not sources:
            log.warning("no handler sources: set DATAMILL_HANDLER_SOURCES to a folder of wheels")
        environments = Environments(home / "environments", self._catalog, store, sources, counters)
        workers = settings.workers
        self._handlers = HandlerPool(
            environments,
            settings.raw_folder,
            store,
            workers + 2,
            settings.open_timeout_secs,
            settings.handler_memory_bytes,
            counters,
        )
        self._relay = OutboxRelay(broker_url, self._catalog)
        self._leases = Leases(self._catalog, settings.lease_secs)
        self._progress = ProgressTeller(self._catalog, self._relay.tell)
        self._reconciler = Reconciler(
            broker_url, self._catalog, store, self._identity, settings.lease_secs, counters
        )
        address = PublicAddress(self._catalog, settings.public_url)
        shared = (self._catalog, self._changes, store, self._handlers, address, counters)
        bench = Workbench(settings, *shared)
        attempts = Attempts(
            self._changes,
            self._leases,
            self._space,
            settings.shard_attempts,
            WorkFor(self._catalog),
            counters,
        )
        owner = self._identity.name
        self._heartbeat = Heartbeat(self._catalog, owner, workers, counters)
        self._raw_watch = RawWatch(self._catalog)
        self._scrubber = Scrubber(self._catalog, store, settings.scrub_secs)
        self._keeper = Keeper(self._catalog, store, settings.store_budget_bytes)
        self._catalog.tell_hooks(settings.hooks)
        self._callers = [
            HookCaller(hook, target_of(hook, settings), self._catalog, self._changes)
            for hook in settings.hooks
        ]
        names = [hook.name for hook in settings.hooks]
        self._hooks: tuple[HookHousekeeper | HookCaller, ...] = (
            HookHousekeeper(self._catalog, names),
            *self._callers,
        )
        self._watchers = (self._raw_watch, self._scrubber, self._keeper)
        intake = Intake(self._catalog, store, address, self._raw_watch.look_at, counters)
        self._assembler = Assembler(self._catalog, store, self._space)
        steward = Steward(owner, bench, attempts, self._space, environments, self._assembler)
        self._claims = ShardClaims(owner, bench, environments)
        self._places = Places(workers)
        worker = ShardWorker(
            self._claims,
            bench,
            attempts,
            self._space,
            self._places,
            self._assembler,
            self._progress,
        )
        self._intake = BatchConsumer(
            broker_url,
            "datamill builder: intake",
            topology.REQUESTS_QUEUE,
            _INTAKE_PREFETCH,
            intake.handle,
        )
        self._stewards = SlotConsumer(
            broker_url, "datamill builder: stewards", topology.BUILDS_QUEUE, STEWARDS, steward.work
        )
        self._packers = SlotConsumer(
            broker_url, "datamill builder: packers", topology.PACKS_QUEUE, PACKERS, steward.work
        )
        self._shards = SlotConsumer(
            broker_url,
            "datamill builder: shards",
            topology.SHARDS_QUEUE,
            workers + max(1, workers // 2),
            worker.work,
        )

    def start(self) -> None:
        """Start all parts; returns at once."""
        self._relay.start()
        self._relay.adopt()
        for part in (
            self._leases,
            self._progress,
            self._reconciler,
            self._assembler,
            self._heartbeat,
            *self._watchers,
            *self._hooks,
        ):
            part.start()
        for consumer in (self._intake, self._stewards, self._packers, self._shards):
            consumer.start()

    def wait(self, stopping: StopSignal) -> None:
        """Return when `stopping` is set; raise what ended a part for good."""
        announced = False
        while not stopping.wait(_POLL_SECS):
            self._check_parts()
            if not announced and all(c.subscribed.is_set() for c in (self._intake, self._stewards)):
                log.info("taking requests, %d shard workers", self._settings.workers)
                announced = True

    def _check_parts(self) -> None:
        """Raise if a part has ended: a builder that lacks one would only look as if it worked."""
        talkers = (
            self._relay.publisher,
            self._intake,
            self._stewards,
            self._packers,
            self._shards,
        )
        for talker in talkers:
            if talker.fatal is not None:
                raise talker.fatal
        quiet = (self._relay, self._leases, self._progress, self._reconciler, self._assembler)
        for part in (*talkers, *quiet, self._heartbeat, *self._watchers, *self._hooks):
            if not part.is_alive():
                raise PartEnded(f"the builder's part '{part.name}' has ended; see the log above")

    def stop(self) -> None:
        """Stop taking work; finish what is in hand or hand it back; publish what is decided."""
        log.info("told to stop; work in hand gets %g s", self._settings.stop_grace_secs)
        consumers = (self._intake, self._stewards, self._packers, self._shards)
        for consumer in consumers:
            consumer.stop()
        self._space.stop()
        self._claims.stop()
        self._places.stop()
        deadline = time.monotonic() + self._settings.stop_grace_secs
        for consumer in consumers:
            consumer.join_until(deadline)
        self._changes.stop()
        stop_tools()
        self._handlers.stop_all()
        for consumer in consumers:
            consumer.join_until(time.monotonic() + _OUTBOX_GRACE_SECS)
        for hook in self._hooks:
            hook.stop()
        parts = (self._assembler, self._progress, self._reconciler, *self._watchers, self._leases)
        for part in (*parts, self._heartbeat):
            part.stop()
            part.join(_OUTBOX_GRACE_SECS)
        for hook in self._hooks:
            hook.join(_OUTBOX_GRACE_SECS)
        self._relay.stop(_OUTBOX_GRACE_SECS)
        self._handlers.stop_all()
        self._identity.release()
        self._catalog.close()

    def kill_children(self) -> None:
        """End all child processes: no locks, no waiting, for a signal's handler."""
        self._handlers.kill_all()
        kill_tools()
        for caller in self._callers:
            caller.kill()


def run(settings: Settings, broker_url: str, stopping: StopSignal) -> None:
    """Run a builder until told to stop; raise what it can't go on with."""
    sys.setswitchinterval(0.0001)  # many short turns: a hit should not wait for another thread's
    builder = Builder(settings, broker_url)
    stopping.at_the_second(builder.kill_children)
    builder.start()
    try:
        builder.wait(stopping)
    finally:
        builder.stop()
