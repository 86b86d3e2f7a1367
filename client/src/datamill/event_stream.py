"""Reading the notifier's server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import http.client
import logging
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlencode

from datamill.errors import DatamillError, DecodeError, ServiceUnavailable, first_line
from datamill.events import Event, decode_event

log = logging.getLogger(__name__)

_SILENCE_SECS = 12.0
"""A stream that shows no sign of life for so long is none: the notifier shows one every 5 s."""
_PAUSE_SECS = 0.5
_BRIEF_SECS = 2.0
"""How long a stream lasts where somebody between holds back what has not ended."""
_GATHER_SECS = 0.25
"""So long those who want more are waited for, before a stream begins anew for them."""
_NEVER = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)


class Sink(Protocol):
    """Who takes events."""

    @property
    def dataset_ids(self) -> frozenset[str] | None:
        """The datasets whose events it wants; None: all. After `renew` it may want more."""

    @property
    def closed(self) -> bool:
        """Whether it wants no more."""

    def offer(self, routing_key: str, event: Event) -> None:
        """Take an event, if it is one that is wanted."""


class EventStream(threading.Thread):
    """Connects again as needed, and goes on after the last event that came.

    The first connection asks for nothing but the position from which on events count: so none is
    missed from then on, however long it takes until the stream itself is there. The same happens
    again where more datasets are wanted: of those that were wanted before nothing is missed, and
    of the new ones nothing comes that happened before.
    """

    def __init__(
        self,
        http_url: str,
        sink: Sink,
        stopping: threading.Event,
        patience_secs: float,
    ) -> None:
        super().__init__(name="datamill events", daemon=True)
        self._address = f"{http_url}/events"
        self._sink = sink
        self._followed: frozenset[str] | None = frozenset()
        """The datasets whose events count from the position on; None: all."""
        self._stopping = stopping
        self._patience_secs = patience_secs
        self._position: str | None = None
        self._brief = False
        self._guard = threading.Lock()
        self._line: socket.socket | None = None
        """The connection that is read, for who wants to cut it."""
        self._renewing = threading.Event()
        self.begun = threading.Event()
        """Set once events count, or never will: see `error`."""
        self.error: DatamillError | None = None

    def run(self) -> None:
        """Read until the sink or the session is closed."""
        try:
            self._begin()
        except DatamillError as error:
            self.error = error
            return
        finally:
            self.begun.set()
        while not self._over():
            try:
                self._gather()
                if self._is_behind():
                    self._catch_up()
                self._read()
            except _NothingCame:
                log.info("%s: events are held back on the way; asking for them", self._address)
                self._brief = True
            except (OSError, http.client.HTTPException) as error:
                log.debug("%s: %s", self._address, first_line(error))
                self._pause()

    def renew(self) -> None:
        """Let the sink have what it wants by now; from any thread."""
        if self._is_behind() or self._over():
            self._renewing.set()
            with self._guard, suppress(OSError):
                if self._line is not None:
                    self._line.shutdown(socket.SHUT_RDWR)

    def _is_behind(self) -> bool:
        wanted, followed = self._sink.dataset_ids, self._followed
        return wanted is not None and followed is not None and not wanted <= followed

    def _gather(self) -> None:
        """Let those come who want more, too, where one does."""
        if self._renewing.is_set():
            self._stopping.wait(_GATHER_SECS)
            self._renewing.clear()

    def _pause(self) -> None:
        if not self._renewing.is_set():
            self._stopping.wait(_PAUSE_SECS)

    def _over(self) -> bool:
        return self._stopping.is_set() or self._sink.closed

    def _begin(self) -> None:
        """Find out where now is; raise `ServiceUnavailable` where that can't be told."""
        deadline = time.monotonic() + self._patience_secs
        while True:
            try:
                self._catch_up()
                return
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code in _NEVER:
                    said = "has no events: is it a Datamill notifier?"
                    raise ServiceUnavailable(f"{self._address} {said}") from error
                if time.monotonic() > deadline or self._over():
                    said = f"could not be reached: {first_line(error)}"
                    raise ServiceUnavailable(f"{self._address} {said}") from error
            self._stopping.wait(_PAUSE_SECS)

    def _catch_up(self) -> None:
        """Go on to now; from here on the events of all that the sink wants by now count."""
        wanted, before = self._sink.dataset_ids, self._followed
        for body in self._frames(0.0, wanted):
            self._offer(body, before)  # of the others it is what was before
        self._followed = wanted

    def _read(self) -> None:
        wanted = self._sink.dataset_ids
        if wanted is not None and self._followed is not None:
            self._followed &= wanted
            if not self._followed:
                return  # else it would be told of all
        began = time.monotonic()
        lasting_secs = _BRIEF_SECS if self._brief else None
        with closing(self._frames(lasting_secs, self._followed, may_cut=True)) as frames:
            for body in frames:
                if self._over():
                    return
                self._offer(body, self._followed)
                if self._renewing.is_set():
                    return
        if time.monotonic() - began < _PAUSE_SECS:
            self._pause()  # a server that ends streams at once

    def _frames(
        self,
        lasting_secs: float | None,
        dataset_ids: frozenset[str] | None,
        may_cut: bool = False,
    ) -> Generator[bytes, None, None]:
        """Yield the data of each frame; of a frame without, and of a comment, nothing."""
        query = [("dataset", each) for each in sorted(dataset_ids or ())]
        if lasting_secs is not None:
            query.append(("secs", f"{lasting_secs:g}"))
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._position is not None:
            headers["Last-Event-ID"] = self._position
        address = f"{self._address}?{urlencode(query)}" if query else self._address
        call = urllib.request.Request(address, headers=headers)
        came = False
        patience_secs = _SILENCE_SECS + (lasting_secs or 0.0)
        frame = _Frame()
        try:
            with (
                urllib.request.urlopen(call, timeout=patience_secs) as response,
                self._known(response if may_cut else None),
            ):
                for line in response:
                    came = True
                    if line.startswith(b":"):
                        yield b""
                    elif frame.take(line.rstrip(b"\r\n")):
                        # Only now: of a frame that was cut, nothing has happened.
                        self._position = frame.id or self._position
                        yield b"\n".join(frame.data)
                        frame = _Frame()
        except urllib.error.HTTPError as error:
            error.close()
            raise
        except TimeoutError as error:
            if came:
                raise
            raise _NothingCame from error

    @contextmanager
    def _known(self, response: http.client.HTTPResponse | None) -> Iterator[None]:
        """Let `renew` cut a connection while it is read."""
        if response is None:
            yield
            return
        # A copy: the number of one that was closed may be another's by then.
        with socket.socket(fileno=os.dup(response.fileno())) as line:
            with self._guard:
                self._line = line
            try:
                yield
            finally:
                with self._guard:
                    self._line = None

    def _offer(self, body: bytes, followed: frozenset[str] | None) -> None:
        if not body:
            return
        try:
            event = decode_event(body)
        except DecodeError as error:
            log.warning("%s: an event was left out: it %s", self._address, error)
            return
        if followed is None or event.dataset_id in followed:
            self._sink.offer(event.routing_key, event)


class _Frame:
    """The fields of an event, as they come."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.data: list[bytes] = []

    def take(self, line: bytes) -> bool:
        """Take in a line; return whether it was the last one, which is empty."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id":
            self.id = value.decode("ascii", "replace")
        elif name == b"data":
            self.data.append(value)
        return not line


class _NothingCame(TimeoutError):
    """Not even what a stream begins with."""
