"""The notifier as a whole: what runs, in which order it starts and stops.

Threads: the event loop (all HTTP, never the catalog), its pool (the catalog, opening files), some
that send files, one that listens to events, one that publishes requests, one that hashes, one that
logs downloads, one that notes who was told of archives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from datamill.broker.event_consumer import EventConsumer
from datamill.errors import DatamillError, ServiceUnavailable
from datamill.runfile import find_service
from datamill.settings import Settings
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.downloads import end_all_of
from datamill_builder.catalog.rows import upsert
from datamill_builder.catalog.schema import meta
from datamill_builder.store import Store
from datamill_notifier import expectations
from datamill_notifier.address import listening_socket, public_url
from datamill_notifier.admin_token import admin_token
from datamill_notifier.app import application
from datamill_notifier.archives import Archives
from datamill_notifier.asker import Asker
from datamill_notifier.call_thread import CallThread
from datamill_notifier.download_log import DownloadLog
from datamill_notifier.entries import Entries
from datamill_notifier.hub import Hub
from datamill_notifier.listening import HubFeeder, consumer
from datamill_notifier.live.parts import live_parts
from datamill_notifier.own_name import OwnName
from datamill_notifier.senders import Senders
from datamill_notifier.server_log import server_log
from datamill_notifier.service import Service
from datamill_notifier.told_log import ToldLog
from datamill_notifier.transfers import Transfers

log = logging.getLogger(__name__)

_POOL_THREADS = 16
_KEEP_ALIVE_SECS = 75.0
_MAX_LINE_BYTES = 96 * 1024
"""Of a request's first line: `GET /events` takes 1,000 dataset ids."""
_LAST_WORDS_SECS = 1.0
"""How long answers that are no downloads may take once the notifier is told to stop."""


class ListenerEnded(DatamillError):
    """What listens to events has ended, and never should have."""


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until told to stop.

    Raises `BrokerRefused` or `TopologyMismatch` where the broker will never do, `ListenerEnded`
    where an error of ours ended the listener, and what opening the catalog or the port raises. A
    broker that is away is waited for meanwhile.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="pool"))
    broker_url = _broker_url(settings)
    catalog = await asyncio.to_thread(Catalog, settings.catalog_address)
    catalog.tell_hooks(settings.hooks)
    with contextlib.closing(catalog), listening_socket(settings) as listening:
        url = public_url(settings, listening)
        await asyncio.to_thread(_announce, catalog, url)
        hub = Hub()
        counters = Counters()
        events = consumer(broker_url, HubFeeder(hub, loop, counters))
        named = (settings, catalog, url, hub, broker_url, events, counters, stop)
        async with _service(*named) as service:
            await _serve(service, events, listening, stop, settings.stop_grace_secs)
    if events.fatal:
        raise events.fatal
    if not stop.is_set():
        raise ListenerEnded("what listens to events has ended by itself: why is logged above")


async def _serve(
    service: Service,
    events: EventConsumer,
    listening: socket.socket,
    stop: asyncio.Event,
    grace_secs: float,
) -> None:
    runner = web.AppRunner(
        application(service),
        access_log=None,
        logger=server_log(),
        handler_cancellation=True,  # who leaves is forgotten at once
        auto_decompress=False,
        max_line_size=_MAX_LINE_BYTES,
        keepalive_timeout=_KEEP_ALIVE_SECS,
        shutdown_timeout=_LAST_WORDS_SECS,
    )
    await runner.setup()
    assert runner.server is not None
    expectations.guard(runner.server)
    site = web.SockSite(runner, listening)
    await site.start()
    events.start()
    joining = CallThread("join")
    listener_ended = joining.call(events.join)
    told = asyncio.create_task(stop.wait())
    log.info("serving at %s", service.public_url)
    try:
        ends: set[asyncio.Future[Any]] = {listener_ended, told}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # No new connections (those that there are get `take_no_more`); then those who listen are
        # let go, since they would stay for ever; then downloads get their grace; whatever is left
        # is cut off by the runner.
        await site.stop()
        service.hub.close()
        await service.transfers.finish(grace_secs)
        await runner.cleanup()
        events.stop()
        told.cancel()
        joining.stop()
        # Its last hand-over needs this loop; but a connect that hangs is not waited for.
        await asyncio.wait({listener_ended}, timeout=_LAST_WORDS_SECS)
    log.info("stopped")


@contextlib.asynccontextmanager
async def _service(
    settings: Settings,
    catalog: Catalog,
    url: str,
    hub: Hub,
    broker_url: str,
    events: EventConsumer,
    counters: Counters,
    stop: asyncio.Event,
) -> AsyncIterator[Service]:
    store = Store(settings.home / "store")
    own = OwnName(settings.home / "notifiers")
    await asyncio.to_thread(_end_downloads_of, own.gone(), own, catalog)
    downloads, told = DownloadLog(catalog, own.name), ToldLog(catalog)
    downloads.start()
    told.start()
    archives, asker, senders = Archives(catalog, store), Asker(broker_url), Senders()
    try:
        yield Service(
            catalog=catalog,
            store=store,
            public_url=url,
            admin_token=admin_token(settings),
            hub=hub,
            archives=archives,
            entries=Entries(),
            transfers=Transfers(downloads, senders, counters),
            told=told,
            asker=asker,
            live=live_parts(catalog, hub.progress, settings.store_budget_bytes),
            broker_connected=events.subscribed.is_set,
            stopping=stop.is_set,
            counters=counters,
            store_budget_bytes=settings.store_budget_bytes,
        )
    finally:
        asker.close()
        archives.close()
        senders.stop()
        for logging_thread in (downloads, told):
            logging_thread.stop()
            await asyncio.to_thread(logging_thread.join)
        own.release()


def _end_downloads_of(gone: list[str], own: OwnName, catalog: Catalog) -> None:
    """Write down that what notifiers sent that were killed has ended: it kept its archives."""
    if gone:
        with catalog.write() as change:
            ended = end_all_of(change, gone, time.time())
        own.forget(gone)
        if ended:
            log.info("downloads that an earlier notifier left open: %d", ended)


def _announce(catalog: Catalog, url: str) -> None:
    """Write down how this notifier is reached: builders put it into events."""
    with catalog.write() as change:
        upsert(change.connection, meta, [{"key": "public_url", "value": url}], ["key"])


def _broker_url(settings: Settings) -> str:
    url = find_service(settings).broker_url
    if url is None:
        raise ServiceUnavailable("a notifier needs a broker: set DATAMILL_BROKER_URL")
    return url
