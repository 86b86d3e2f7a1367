"""One HTTP request with a time limit for all of it, and no redirects."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any, TypeVar

MAX_ANSWER_BYTES = 4096
"""What is read of an answer: enough to see why it refuses."""

Connection = TypeVar("Connection", bound=http.client.HTTPConnection)


@dataclass(frozen=True)
class Answer:
    """What came back: the beginning of the body, too."""

    status: int
    reason: str
    headers: Message
    body: bytes


class Line:
    """The connection of one call, which is cut when its time is over, or from another thread.

    Timeouts of sockets are for one step each: who sends a byte now and then would hold up all
    others for ever.
    """

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self.was_cut = False

    def over(self, make: Callable[..., Connection]) -> Callable[..., Connection]:
        """Return what makes a connection whose socket is known here."""

        def make_known(*arguments: Any, **options: Any) -> Connection:
            connection = make(*arguments, **options)
            connect = connection.connect

            def connect_known() -> None:
                connect()
                # The connection forgets it as soon as the answer's head is there.
                self._socket = connection.sock
                if self.was_cut:
                    raise TimeoutError

            connection.connect = connect_known  # type: ignore[method-assign]
            self._connection = connection
            return connection

        return make_known

    def cut(self) -> None:
        """End the call now; from any thread."""
        self.was_cut = True
        during_handshake = self._connection.sock if self._connection else None
        for known in (self._socket, during_handshake):
            if known is not None:
                with contextlib.suppress(OSError):
                    # Not by the method of a TLS socket, which takes its state from the reader.
                    socket.socket.shutdown(known, socket.SHUT_RDWR)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._line.over(http.client.HTTPConnection), req)


class _Tls(urllib.request.HTTPSHandler):
    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._line.over(http.client.HTTPSConnection), req)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


def post(url: str, body: bytes, headers: dict[str, str], timeout_secs: float, line: Line) -> Answer:
    """Post a body and return the answer, whatever its status.

    Proxies are those of the environment; certificates are verified. Raises `OSError`,
    `HTTPException` or `ValueError`; `TimeoutError` when the time is over, or `line` was cut.
    """
    opener = urllib.request.build_opener(_Plain(line), _Tls(line), _NoRedirects())
    call = urllib.request.Request(url, data=body, headers=headers, method="POST")
    limit = threading.Timer(timeout_secs, line.cut)
    limit.daemon = True
    limit.start()
    try:
        answer = _answer(opener, call, timeout_secs)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if line.was_cut:
            raise TimeoutError from error
        raise
    finally:
        limit.cancel()
    if line.was_cut:
        raise TimeoutError  # a head that is cut short is read as if that were its end
    return answer


def _answer(
    opener: urllib.request.OpenerDirector, call: urllib.request.Request, timeout_secs: float
) -> Answer:
    try:
        response = opener.open(call, timeout=timeout_secs)
    except urllib.error.HTTPError as refusal:
        response = refusal
    with response:
        beginning = response.read1(MAX_ANSWER_BYTES) if response.status >= 300 else b""
        return Answer(response.status, response.reason, response.headers, beginning)
