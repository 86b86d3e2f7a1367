"""A reverse proxy before an HTTP server: under a path prefix, with TLS, holding back, cutting."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from typing import Any

_END_OF_HEAD = b"\r\n\r\n"
_HOP = re.compile(rb"\r\nConnection: [^\r]*", re.IGNORECASE)


class ReverseProxy:
    """Forwards `<prefix>/…` as `/…`; use it in a `with`.

    `holds_back`: an answer is passed on when it is whole, as buffering proxies do. WebSockets
    pass where it does not.
    """

    def __init__(
        self,
        backend_port: int,
        prefix: str = "",
        tls: ssl.SSLContext | None = None,
        holds_back: bool = False,
    ) -> None:
        self.backend_port: int | None = backend_port
        """Where requests go; None: nowhere, with 502."""
        self.paths: list[str] = []
        """The path of each request that was forwarded."""
        self._prefix = prefix.encode()
        self._tls = tls
        self._holds_back = holds_back
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://localhost:{self._listening.getsockname()[1]}{self._prefix.decode()}"

    def cut_all(self) -> None:
        """Cut every connection that is open."""
        with self._lock:
            for connection in list(self._open):
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

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
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            client.settimeout(60)
            if self._tls:
                client = stack.enter_context(self._tls.wrap_socket(client, server_side=True))
            self._watched(client, stack)
            head = _read_head(client)
            line, _, rest = head.partition(b"\r\n")
            method, path, version = line.split(b" ", 2)
            if self.backend_port is None or not path.startswith(self._prefix + b"/"):
                status = b"404 Not Found" if self.backend_port else b"502 Bad Gateway"
                client.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
                return
            path = path.removeprefix(self._prefix)
            self.paths.append(path.decode())
            server = stack.enter_context(socket.create_connection(("127.0.0.1", self.backend_port)))
            server.settimeout(60)
            self._watched(server, stack)
            if b"upgrade: websocket" not in rest.lower():
                # One answer a connection: so its end is seen.
                rest = _HOP.sub(b"", b"\r\n" + rest)[2:]
                rest = rest.replace(_END_OF_HEAD, b"\r\nConnection: close\r\n\r\n", 1)
            server.sendall(b" ".join((method, path, version)) + b"\r\n" + rest)
            upwards = threading.Thread(target=_pump, args=(client, server))
            upwards.start()
            self._downwards(server, client)
            with contextlib.suppress(OSError):
                socket.socket.shutdown(client, socket.SHUT_RDWR)
            upwards.join()

    def _watched(self, connection: socket.socket, stack: contextlib.ExitStack) -> None:
        with self._lock:
            self._open.add(connection)
        stack.callback(self._open.discard, connection)

    def _downwards(self, server: socket.socket, client: socket.socket) -> None:
        held = b""
        while piece := server.recv(65536):
            if self._holds_back:
                held += piece
            else:
                client.sendall(piece)
        client.sendall(held)

    def __enter__(self) -> ReverseProxy:
        self._accepting.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join()
        self.cut_all()
        for thread in self._threads:
            thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while _END_OF_HEAD not in head and (more := connection.recv(65536)):
        head += more
    return head
