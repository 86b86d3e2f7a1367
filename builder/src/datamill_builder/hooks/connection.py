"""One HTTP request with a time limit for all of it, and no redirects."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any, TypeVar

MAX_ANSWER_BYTES = 4096
"""What is read of an answer: enough to see why it refuses."""

_LOOK_SECS = 0.1

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
    call = urllib.request.Request(url, data=body, headers=headers, method="POST")
    talk = _Talk(call, timeout_secs, line)
    deadline = time.monotonic() + timeout_secs
    talk.start()
    while talk.is_alive() and not line.was_cut:
        talk.join(_LOOK_SECS)
        if time.monotonic() > deadline:
            line.cut()
    if line.was_cut:
        raise TimeoutError  # a head that is cut short is read as if that were its end
    return talk.result()


class _Talk(threading.Thread):
    """The call itself, in a thread that nobody has to wait for.

    Looking up a name can't be cut off, and takes as long as the resolver likes. Who comes back
    from there after the time sends nothing.
    """

    def __init__(self, call: urllib.request.Request, timeout_secs: float, line: Line) -> None:
        super().__init__(name="hook call", daemon=True)
        self._call = call
        self._timeout_secs = timeout_secs
        self._line = line
        self._answer: Answer | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Post, and keep what comes of it."""
        line = self._line
        opener = urllib.request.build_opener(_Plain(line), _Tls(line), _NoRedirects())
        try:
            self._answer = _answer(opener, self._call, self._timeout_secs)
        except Exception as error:  # noqa: BLE001 - raised in the thread that asked
            self._error = error

    def result(self) -> Answer:
        """Return the answer, or raise what went wrong; once it has ended."""
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer


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
