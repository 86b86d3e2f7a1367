"""What the routes work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.counters import Counters
from datamill_builder.store import Store
from datamill_notifier.archives import Archives
from datamill_notifier.asker import Asker
from datamill_notifier.entries import Entries
from datamill_notifier.hub import Hub
from datamill_notifier.live.parts import LiveParts
from datamill_notifier.told_log import ToldLog
from datamill_notifier.transfers import Transfers


@dataclass(frozen=True)
class Service:
    """The parts of a running notifier. `public_url` is how clients reach it, no `/` behind;
    `store_budget_bytes` how much the store may hold."""

    catalog: Catalog
    store: Store
    public_url: str
    admin_token: str
    hub: Hub
    archives: Archives
    entries: Entries
    transfers: Transfers
    told: ToldLog
    asker: Asker
    live: LiveParts
    broker_connected: Callable[[], bool]
    stopping: Callable[[], bool]
    counters: Counters
    store_budget_bytes: int | None


SERVICE = web.AppKey("service", Service)


def service_of(request: web.Request) -> Service:
    """Return the parts of the notifier that got a request."""
    return request.app[SERVICE]
