"""`/metrics`: numbers in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Mapping

from aiohttp import web

from datamill_builder.catalog import views
from datamill_builder.catalog.states import BuildState, TaskKind, TaskState
from datamill_builder.catalog.views import Numbers
from datamill_notifier.service import Service, service_of

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], int]

routes = web.RouteTableDef()


@routes.get("/metrics")
async def get_metrics(request: web.Request) -> web.Response:
    """Answer with all numbers as of now."""
    service = service_of(request)
    counted, free_bytes = await asyncio.to_thread(_count, service)
    text = "".join([*_of_catalog(counted), *_of_process(service, free_bytes)])
    return web.Response(body=text.encode(), headers={"Content-Type": _CONTENT_TYPE})


def _count(service: Service) -> tuple[Numbers, int]:
    with service.catalog.read() as connection:
        counted = views.numbers(connection)
    return counted, shutil.disk_usage(service.store.root).free


def _of_catalog(counted: Numbers) -> Iterable[str]:
    # States without a row are 0, not absent: a graph has no holes then.
    builds = [({"state": state}, counted.builds.get(state, 0)) for state in BuildState]
    tasks = [
        ({"kind": kind, "state": state}, counted.tasks.get((kind, state), 0))
        for kind in TaskKind
        for state in TaskState
    ]
    yield _metric("builds", "gauge", "Builds by state.", builds)
    yield _metric("tasks", "gauge", "Tasks by kind and state.", tasks)
    waiting = counted.waiting_for_space
    yield _one("tasks_waiting_for_space", "gauge", "Tasks that found a disk full.", waiting)
    yield _one("outbox_messages", "gauge", "Messages no broker has confirmed yet.", counted.outbox)
    yield _one("requests_total", "counter", "Accepted requests.", counted.requests)
    yield _one(
        "leases_lost_total", "counter", "Work taken from silent owners.", counted.leases_lost
    )
    yield _one("store_bytes", "gauge", "Archives and loose shards.", counted.store_bytes)


def _of_process(service: Service, free_bytes: int) -> Iterable[str]:
    transfers = service.transfers
    yield _one("store_free_bytes", "gauge", "Room left for the store.", free_bytes)
    yield _one("downloads_in_progress", "gauge", "Bodies being sent.", transfers.under_way)
    yield _one("served_bytes_total", "counter", "Bytes of bodies sent.", transfers.sent_bytes)
    yield _one("event_receivers", "gauge", "Who listens to events.", service.hub.receivers)
    connected = service.broker_connected()
    yield _one("broker_connected", "gauge", "Whether events arrive.", connected)


def _one(name: str, kind: str, help_text: str, value: int) -> str:
    return _metric(name, kind, help_text, [({}, value)])


def _metric(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP datamill_{name} {help_text}", f"# TYPE datamill_{name} {kind}"]
    lines += [f"datamill_{name}{_labels(labels)} {value:d}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    # All values are words of ours: nothing in them needs escaping.
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
