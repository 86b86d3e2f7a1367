"""Raw connections to a notifier: bytes in, bytes out, no client that would refuse to send them."""

from __future__ import annotations

import contextlib
import socket

from tests.support.notifier import NotifierProcess

ANSWER_SECS = 20.0
_PIECE_BYTES = 64 * 1024


class Door:
    """Where a notifier takes connections."""

    def __init__(self, notifier: NotifierProcess) -> None:
        host, _, port = notifier.url.removeprefix("http://").rpartition(":")
        self._address = (host, int(port))

    def open(self) -> socket.socket:
        """Return a connection; the caller closes it."""
        return socket.create_connection(self._address, timeout=ANSWER_SECS)

    def say(self, said: bytes, *, all_of_it: bool = False) -> bytes:
        """Send bytes; return the head of what comes back, and what comes with it.

        `all_of_it`: everything until the other side closes.
        """
        with self.open() as connection:
            # An answer may come before everything was sent: then the rest is not wanted.
            with contextlib.suppress(ConnectionError):
                connection.sendall(said)
            return read(connection, all_of_it=all_of_it)

    def status(self, said: bytes) -> int:
        """Send a request; return the status of its answer, which must come."""
        answer = self.say(said)
        assert answer.startswith(b"HTTP/1."), (said[:300], answer[:300])
        return int(answer.split(b" ", 2)[1])


def read(connection: socket.socket, *, all_of_it: bool = False) -> bytes:
    """Return what comes until the end of a head, or of everything."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while all_of_it or b"\r\n\r\n" not in answer:
            piece = connection.recv(_PIECE_BYTES)
            if not piece:
                break
            answer += piece
    return answer


def head(method: str, target: str, fields: str = "") -> bytes:
    """Return the head of a request whose connection is closed after it, without its last line."""
    # A space would end the target: the only thing that it can't hold.
    written = target.encode("utf-8", "surrogateescape").replace(b" ", b"%20")
    line = method.encode() + b" " + written + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return line + fields.encode("latin-1")
