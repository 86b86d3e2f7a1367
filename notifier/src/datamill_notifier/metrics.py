"""Everything that `/metrics` tells, as prometheus_client's families; docs/metrics.md lists it."""

from __future__ import annotations

import importlib.metadata
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from datamill_builder.catalog import builders, counted, counters, views
from datamill_builder.catalog.backlog import Waiting, waiting
from datamill_builder.catalog.counters import Counted, Labels, Totals
from datamill_builder.catalog.states import BuildState, TaskKind, TaskState
from datamill_builder.catalog.usage import Saving
from datamill_builder.catalog.views import Numbers
from datamill_notifier import counted as own
from datamill_notifier.service import Service

_PREFIX = "datamill_"

Samples = Iterable[tuple[Mapping[str, str], float]]


def registry_of(service: Service) -> CollectorRegistry:
    """Return all that is told of a service and of this process."""
    registry = CollectorRegistry()
    registry.register(_Everything(service))
    ProcessCollector(registry=registry)
    return registry


class _Everything(Collector):
    """Reads the catalog each time that it is asked: blocks."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: names don't collide here, and the catalog may be away."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all numbers as of now; raise `CatalogUnavailable`."""
        with self._service.catalog.read() as connection:
            numbers, there = views.numbers(connection), waiting(connection)
            counts, alive = counters.read(connection), builders.alive(connection)
        # It takes long to add up: what was added up some seconds ago is good enough.
        saving = self._service.live.totals.get().saving
        yield _info()
        yield from _of_catalog(numbers)
        yield from _of_saving(saving)
        yield from _of_waiting(there)
        yield _gauge("builders", "Builders that show signs of life.", alive[0])
        yield _gauge("builder_workers", "Shard workers that those have.", alive[1])
        yield from _of_process(self._service)
        counts |= self._service.counters.totals()
        for what in (*counted.ALL, *own.ALL):
            yield _family(what, counts)


def _info() -> Metric:
    info = InfoMetricFamily("datamill", "The notifier's version.")
    info.add_metric([], {"version": importlib.metadata.version("datamill-notifier")})
    return info


def _of_catalog(numbers: Numbers) -> Iterator[Metric]:
    # States without a row are 0, not absent: a graph has no holes then.
    by_build = [({"state": state.value}, numbers.builds.get(state, 0)) for state in BuildState]
    by_task = [
        ({"kind": kind.value, "state": state.value}, numbers.tasks.get((kind, state), 0))
        for kind in TaskKind
        for state in TaskState
    ]
    yield _gauges("builds", "Builds by state.", by_build)
    yield _gauges("tasks", "Tasks by kind and state.", by_task)
    full = numbers.waiting_for_space
    yield _gauge("tasks_waiting_for_space", "Tasks that found a disk full.", full)
    yield _gauge("outbox_messages", "Messages no broker has confirmed yet.", numbers.outbox)
    yield _count("requests", "Accepted requests.", numbers.requests)
    yield _count("leases_lost", "Work taken from silent owners.", numbers.leases_lost)
    yield _gauge("store_bytes", "Archives and loose shards.", numbers.store_bytes)


def _of_saving(saving: Saving) -> Iterator[Metric]:
    yield _count("builds_begun", "How often a build was begun, or begun again.", saving.builds)
    yield _count("downloaded_bytes", "Bytes that downloads of archives took.", saving.sent_bytes)
    # Gauges: who builds once more, or fetches what a cache has lost, saves less than it seemed.
    spared = "Seconds of building that sharing has saved."
    yield _gauge("saved_build_seconds", spared, saving.saved_secs)
    spared = "Bytes of archives that clients had and did not fetch."
    yield _gauge("saved_download_bytes", spared, saving.saved_bytes)


def _of_waiting(there: Waiting) -> Iterator[Metric]:
    yield _gauge("queued_datasets", "Datasets of which no shard has been begun.", there.queued)
    oldest = "How long the longest queued dataset waits."
    yield _gauge("queue_oldest_seconds", oldest, there.queued_secs)
    oldest = "Age of the oldest event that no broker has confirmed yet."
    yield _gauge("outbox_oldest_seconds", oldest, there.outbox_secs)
    calls: Samples = [({"state": state}, count) for state, count in there.hook_calls.items()]
    yield _gauges("hook_calls", "Calls of hooks by state.", calls)


def _of_process(service: Service) -> Iterator[Metric]:
    free = shutil.disk_usage(service.store.root).free
    yield _gauge("store_free_bytes", "Room left for the store.", free)
    budget = service.store_budget_bytes
    told: Samples = [] if budget is None else [({}, budget)]
    yield _gauges("store_budget_bytes", "What the store may hold; absent without a limit.", told)
    transfers = service.transfers
    yield _gauge("downloads_in_progress", "Downloads under way.", transfers.under_way)
    yield _count("served_bytes", "Bytes of bodies sent.", transfers.sent_bytes)
    yield _gauge("event_receivers", "Who listens to events.", service.hub.receivers)
    yield _gauge("broker_connected", "Whether events arrive.", service.broker_connected())


# --- families -------------------------------------------------------------------------------------


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, help_text, value=float(value))


def _gauges(name: str, help_text: str, samples: Samples) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, help_text)
    for labels, value in samples:
        family.add_sample(_PREFIX + name, dict(labels), float(value))
    return family


def _count(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(_PREFIX + name, help_text, value=float(value))


def _family(what: Counted, counts: Totals) -> Metric:
    if what.buckets:
        return _histogram(what, counts)
    # What never happened is 0, where it is known that it might.
    samples: dict[Labels, float] = {} if what.label else {(): 0.0}
    samples |= {((what.label or "", value),): 0.0 for value in what.known}
    samples |= {labels: value for (name, labels), value in counts.items() if name == what.name}
    told: Samples = [(dict(labels), value) for labels, value in samples.items()]
    if what.is_level:
        return _gauges(what.name, what.help, told)
    family = CounterMetricFamily(_PREFIX + what.name, what.help)
    for labels, value in told:
        family.add_sample(f"{_PREFIX}{what.name}_total", dict(labels), value)
    return family


def _histogram(what: Counted, counts: Totals) -> Metric:
    buckets, below = [], 0.0
    for bound in (*what.buckets, math.inf):
        labels: Labels = (("le", what.bucket_of(bound)),)
        below += counts.get((f"{what.name}_bucket", labels), 0.0)
        buckets.append((str(bound) if bound < math.inf else "+Inf", below))
    family = HistogramMetricFamily(_PREFIX + what.name, what.help)
    family.add_metric([], buckets, counts.get((f"{what.name}_sum", ()), 0.0))
    return family
