"""A TCP proxy before an HTTP server, that cuts answers where a test says."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_END_OF_HEAD = b"\r\n\r\n"
_RANGE = re.compile(rb"\r\nRange: bytes=(\d+)-\r\n", re.IGNORECASE)
_RESET = struct.pack("ii", 1, 0)


@dataclass
class Cut:
    """How one answer ends: after so many bytes of its body, `reset` or closed."""

    after_bytes: int
    reset: bool = False
    then: Callable[[], None] = lambda: None
    """Called before the other side notices."""


class CuttingProxy:
    """Forwards each connection; use it in a `with`. `cuts`: for the next connections, in turn."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.cuts: list[Cut] = []
        self.starts: list[int] = []
        """Where each request wanted its answer to begin, in bytes."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as server, contextlib.suppress(OSError):
            client.settimeout(30)
            server.settimeout(30)
            head = _read_head(client)
            found = _RANGE.search(head)
            self.starts.append(int(found[1]) if found else 0)
            server.sendall(head)
            answer = _read_head(server)
            end = answer.index(_END_OF_HEAD) + len(_END_OF_HEAD)
            client.sendall(answer[:end])
            self._forward(answer[end:], server, client, self.cuts.pop(0) if self.cuts else None)

    def _forward(
        self, body: bytes, server: socket.socket, client: socket.socket, cut: Cut | None
    ) -> None:
        left = cut.after_bytes if cut else None
        while body or (body := server.recv(65536)):
            if left is not None and len(body) >= left:
                client.sendall(body[:left])
                assert cut is not None
                cut.then()
                if cut.reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return
            client.sendall(body)
            left = None if left is None else left - len(body)
            body = b""

    def __enter__(self) -> CuttingProxy:
        self._accepting.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while _END_OF_HEAD not in head and (more := connection.recv(65536)):
        head += more
    return head
