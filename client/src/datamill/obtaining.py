"""A dataset as it is asked for, waited for and brought to this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from datamill import tracing
from datamill.ahead import BuildProgress, build_progress
from datamill.archive import MANIFEST, Manifest
from datamill.cache import Cache
from datamill.errors import Gone, NotCached, RequestFailed, ServiceUnavailable, WaitTimeout
from datamill.events import Event, Ready, ShardDone
from datamill.progress import ProgressView, progress_view
from datamill.request import Request
from datamill.runfile import Service, find_service
from datamill.session import PATIENCE_SECS
from datamill.sessions import session_for
from datamill.source import ProgressCallback, Source
from datamill.tracker import Tracker

if TYPE_CHECKING:
    from datamill.settings import Settings

log = logging.getLogger(__name__)

PATIENCE_WITH_CACHE_SECS = 3.0
_ASK_ANEW = 3
"""How often a dataset is asked for again when it was removed before it could be fetched."""


class Obtainable:
    """A dataset: asked for, perhaps still being built, perhaps on this machine already.

    It may be used by several threads, and in a forked child (which asks again, for itself).
    """

    def __init__(self, request: Request, settings: Settings) -> None:
        self.request = request
        self._settings = settings
        self.cache = Cache(settings.cache, settings.cache_budget_bytes, settings.download_streams)
        self._service: Service | None = None
        self.trace = tracing.here()
        """What all that is done for it belongs to, if spans are made."""
        self._tracker = Tracker(request.dataset_id, request, self.trace)
        self._folder: Path | None = None
        self.shards_read = 0
        """How many shards the iteration that began last has come to, while they are built."""
        self._ask()

    def __repr__(self) -> str:
        name, version = self.request.dataset_name, self.request.handler_version
        return f"<{type(self).__name__} {name} {version} {self.id[:12]} {self.state}>"

    @property
    def id(self) -> str:
        """The dataset id."""
        return self.request.dataset_id

    @property
    def state(self) -> str:
        """`asked`, `queued`, `building`, `ready` or `failed`."""
        return self._tracker.state

    @property
    def http_url(self) -> str | None:
        """The notifier, where it is known."""
        return self._service.http_url if self._service else None

    @property
    def handler_name(self) -> str:
        """The entry point's name of the handler: the dataset's, unless the settings say another."""
        named = self._settings.datasets.get(self.request.dataset_name)
        return (named.handler if named else None) or self.request.dataset_name

    @property
    def tracker(self) -> Tracker:
        """What is known of the dataset; in a forked child, after asking again."""
        if self._tracker.pid != os.getpid():
            self._tracker = Tracker(self.id, self.request, self.trace)
            self._ask()
        return self._tracker

    def wait(self, timeout: float | None = None, progress: bool = False) -> Path:
        """Wait until the dataset is ready, downloaded, verified and unpacked; return its folder.

        `timeout` is in seconds, download included. Raises `RequestFailed` if it will not come,
        `WaitTimeout`, `DownloadError`, `ArchiveError`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        label = f"{self.request.dataset_name} {self.id[:8]}"
        with (
            tracing.Carrying(self.trace),
            tracing.span("wait", dataset_id=self.id),
            progress_view(label, shown=progress) as view,
            self._shown_by(view),
        ):
            for attempt in range(_ASK_ANEW + 1):
                ready = self._await_ready(deadline)
                view.event(ready)
                try:
                    self._folder = self._obtain(ready, _until(deadline, view.download))
                    return self._folder
                except Gone:
                    if attempt == _ASK_ANEW or self._service is None:
                        raise
                    log.info("%s was removed before it could be fetched; asking anew", self.id[:12])
                    self._ask_anew()
        raise AssertionError("the last attempt returns or raises")

    @property
    def folder(self) -> Path:
        """Where the unpacked dataset is; raises `NotCached` if it is not on this machine yet."""
        if self._folder is None or not self._folder.is_dir():
            ready = self._tracker.ready
            found = self.cache.find(ready.sha256) if ready else None
            if found is None:
                raise NotCached(f"{self.id[:12]} is not on this machine yet: call wait() first")
            self._folder = found
        return self._folder

    @property
    def manifest(self) -> Manifest:
        """What the dataset holds and what it was made from; raises `NotCached`."""
        return Manifest.decode((self.folder / MANIFEST).read_bytes())

    @property
    def progress(self) -> BuildProgress:
        """How far the build is, and how far ahead of the iteration over it that began last."""
        return build_progress(self.tracker, self.shards_read)

    def events(self) -> Iterator[Event]:
        """Yield what happens to the dataset, from now on, until there is an answer."""
        from datamill.event_feed import events_until_answer

        return events_until_answer(self.tracker)

    # --- asking ---

    def _ask(self) -> None:
        known = self.cache.remembers(self.id)
        try:
            self._service = find_service(self._settings)
            patience_secs = PATIENCE_WITH_CACHE_SECS if known else PATIENCE_SECS
            session_for(self._service).ask(self._tracker, patience_secs)
        except ServiceUnavailable as error:
            cached = self.cache.recall(self.id)
            if cached is None:
                raise
            log.warning("%s: taking %s from the cache of this machine", error, self.id[:12])
            self._service = None
            self._tracker.feed(cached.model_copy(update={"cached": True}))

    def keep_asking(self) -> None:
        """Ask again if the dataset was ready once and was evicted since, or the session broke.

        Raises what broke the session if it still does.
        """
        tracker = self.tracker
        if tracker.error is not None or not (tracker.answered or tracker.wanted):
            self._ask_anew()

    def _ask_anew(self) -> None:
        assert self._service is not None
        self.tracker.ask_anew()
        session_for(self._service).ask(self.tracker)

    # --- waiting ---

    @contextlib.contextmanager
    def _shown_by(self, view: ProgressView) -> Iterator[None]:
        """Show what is known and what happens, but for the answer: that comes in its turn."""

        def show(event: Event) -> None:
            if not event.final:
                view.event(event)

        tracker = self.tracker
        with tracker.listening(show):
            for event in (tracker.accepted, tracker.planned, tracker.progress):
                if event is not None:
                    view.event(event)
            yield

    def _await_ready(self, deadline: float | None) -> Ready:
        tracker = self.tracker
        while True:
            self.keep_asking()
            left = None if deadline is None else deadline - time.monotonic()
            if not tracker.wait_until(lambda: tracker.settled, left):
                raise WaitTimeout(
                    f"{self.id[:12]} is not ready yet ({tracker.state}); "
                    "waiting again goes on with the same build"
                )
            if ready := tracker.ready:
                return ready
            if failed := tracker.failed:
                raise RequestFailed(failed.reason.value, failed.message, failed.retryable, self.id)

    def _obtain(self, ready: Ready, progress: ProgressCallback) -> Path:
        named = {"dataset_id": self.id, "content_key": ready.content_key}
        with tracing.span("obtain", "client", **named, bytes=ready.bytes):
            folder = self.cache.obtain(self._source(ready), ready.content_key, progress)
        self.cache.remember(ready)
        return folder

    def _source(self, ready: Ready) -> Source:
        urls = self._addresses(ready.archive, ready.url)
        return Source(urls, ready.bytes, ready.sha256)

    def shard_source(self, shard: ShardDone) -> Source:
        """Return where a shard is, while the others are built and after."""
        urls = self._addresses(f"{self.id}/shards/{shard.index}", shard.url)
        return Source(urls, shard.bytes, shard.sha256)

    def _addresses(self, path: str, told: str) -> tuple[str, ...]:
        if not self._settings.url:
            return (told,)
        # An address that was set here on purpose is the one that can be reached from here.
        return tuple(dict.fromkeys((f"{self._settings.url}/datasets/{path}", told)))


def _until(deadline: float | None, callback: ProgressCallback) -> ProgressCallback:
    """Return a progress callback that also ends the download at the deadline."""

    def report(done_bytes: int, total_bytes: int) -> None:
        if deadline is not None and time.monotonic() > deadline and done_bytes < total_bytes:
            raise WaitTimeout(f"{done_bytes} of {total_bytes} bytes came in time")
        callback(done_bytes, total_bytes)

    return report
