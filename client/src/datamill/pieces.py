"""Several connections at once, for a link on which one can't have enough bytes under way.

Each fetches a piece of the file at a time; the pieces go into the part in order, so that what has
come stays a beginning of the file, which can be resumed. Pieces that wait for an earlier one are
held in memory, and there are never more than a few.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from datamill import tracing
from datamill.errors import DatamillError, DownloadError
from datamill.part import Part

PIECE_BYTES = 8 * 1024 * 1024
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

ReadInto = Callable[[http.client.HTTPResponse, memoryview], int]
Refusal = Callable[[str, http.client.HTTPResponse], DownloadError]


class NoRanges(DownloadError):
    """The server does not send the ranges that it is asked for."""


class Pieces:
    """Receives what is missing of a part over several connections.

    Threads: each connection has one; the caller's alone writes to the part.
    """

    def __init__(
        self,
        part: Part,
        url: str,
        etag: str,
        timeout_secs: float,
        read_into: ReadInto,
        refusal: Refusal,
    ) -> None:
        self._part = part
        self._url = url
        self._etag = etag
        self._timeout_secs = timeout_secs
        self._read_into = read_into
        self._refusal = refusal
        self._trace = tracing.headers()
        self._changed = threading.Condition()
        self._asked = part.size
        """Where the next piece to be asked for begins."""
        self._streams = 1
        self._arrived: dict[int, bytearray] = {}
        self._error: Exception | None = None
        self._connections: list[http.client.HTTPConnection] = []

    def receive(
        self, begun: http.client.HTTPResponse, streams: int, written: Callable[[], None]
    ) -> None:
        """Make the part complete; `begun` goes on where it ends. `written` is called now and then.

        Raises `NoRanges`, the refusal of the server, or what broke a connection: the part keeps
        what had come in order until then.
        """
        self._streams = streams
        threads = [
            threading.Thread(target=self._work, args=(begun if not n else None,), daemon=True)
            for n in range(streams)
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._part.complete:
                self._part.write(self._take())
                with self._changed:
                    self._changed.notify_all()
                written()
        finally:
            self._stop(begun)
            for thread in threads:
                thread.join()

    def _take(self) -> bytearray:
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._part.size in self._arrived)
            if (body := self._arrived.pop(self._part.size, None)) is not None:
                return body
            assert self._error is not None
            raise self._error

    def _stop(self, begun: http.client.HTTPResponse) -> None:
        with self._changed:
            self._error = self._error or DownloadError("the download has ended")
            self._changed.notify_all()
            for connection in self._connections:
                if connection.sock is not None:
                    _hang_up(connection.sock.fileno())
            if not begun.closed:
                _hang_up(begun.fileno())

    # --- what the connections' threads do ---

    def _work(self, begun: http.client.HTTPResponse | None) -> None:
        connection = None
        try:
            while (place := self._next()) is not None:
                body = bytearray(place[1] - place[0])
                if begun is not None:
                    self._fill(begun, body)
                    with self._changed:
                        begun.close()
                    begun = None
                else:
                    connection = connection or self._connect()
                    with self._ask(connection, *place) as answer:
                        self._fill(answer, body)
                        answer.read()  # nothing: now the connection can be used again
                with self._changed:
                    self._arrived[place[0]] = body
                    self._changed.notify_all()
        except (DatamillError, OSError, http.client.HTTPException) as error:
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()
        finally:
            if connection is not None:
                with self._changed:
                    connection.close()

    def _next(self) -> tuple[int, int] | None:
        """Return where the next piece begins and ends, once there is room for it."""
        total = self._part.total
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._error
                    or self._asked >= total
                    or self._asked - self._part.size < (self._streams + 2) * PIECE_BYTES
                )
            )
            if self._error or self._asked >= total:
                return None
            begin = self._asked
            # Smaller ones towards the end, so that all connections end at about the same time.
            size = max((total - begin) // (2 * self._streams), PIECE_BYTES // 8)
            self._asked = min(begin + min(size, PIECE_BYTES), total)
            return begin, self._asked

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname or "", parts.port, timeout=self._timeout_secs)
        with self._changed:
            if self._error:
                raise self._error
            self._connections.append(connection)
        return connection

    def _ask(
        self, connection: http.client.HTTPConnection, begin: int, end: int
    ) -> http.client.HTTPResponse:
        parts = urlsplit(self._url)
        headers = {
            "Accept-Encoding": "identity",
            "Range": f"bytes={begin}-{end - 1}",
            "If-Range": self._etag,
            **self._trace,
        }
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise self._refusal(self._url, answer)
        found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        wanted = (begin, end - 1, self._part.total)
        if answer.status != HTTPStatus.PARTIAL_CONTENT or found is None:
            raise NoRanges(f"{self._url}: no range, but {answer.status}")
        if tuple(map(int, found.groups())) != wanted or answer.length != end - begin:
            raise NoRanges(f"{self._url}: another range than what it was asked for")
        return answer

    def _fill(self, answer: http.client.HTTPResponse, body: bytearray) -> None:
        done = 0
        with memoryview(body) as view:
            while done < len(view):
                count = self._read_into(answer, view[done:])
                if not count:
                    raise ConnectionError("the connection was cut")
                done += count


def _hang_up(descriptor: int) -> None:
    """Make a thread that waits for a connection notice its end. The descriptor stays open."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
