"""A real HTTP server that is told by webhooks, and answers as a test says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reaction = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Told:
    """A call as it came."""

    path: str
    headers: Message
    body: bytes


def answer(status: int, body: bytes = b"", **headers: str) -> Reaction:
    """Answer; `_` in the name of a header field is `-`."""

    def react(call: BaseHTTPRequestHandler) -> None:
        call.send_response(status)
        for name, value in headers.items():
            call.send_header(name.replace("_", "-"), value)
        call.send_header("Content-Length", str(len(body)))
        call.end_headers()
        call.wfile.write(body)

    return react


def cut(call: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    call.close_connection = True


def hang(until: threading.Event) -> Reaction:
    """Say nothing for long."""

    def react(call: BaseHTTPRequestHandler) -> None:
        until.wait(30)
        call.close_connection = True

    return react


def drip(until: threading.Event, head: bytes = b"HTTP/1.1 200 OK\r\nX-Long: ") -> Reaction:
    """Say a byte now and then, and never come to an end."""

    def react(call: BaseHTTPRequestHandler) -> None:
        call.close_connection = True
        try:
            call.wfile.write(head)
            while not until.wait(0.05):
                call.wfile.write(b"x")
        except OSError:
            return

    return react


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: Any) -> None:
        """Say nothing: callers that give up are what some tests are about."""


class HookServer:
    """Use it in a `with`. `reactions`: to the next calls, in turn; 204 to all others."""

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.reactions: list[Reaction] = []
        self.told: list[Told] = []
        self._scheme = "https" if tls else "http"
        self._server = _Server(("127.0.0.1", port), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}/told?token=very-secret"

    def __enter__(self) -> HookServer:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reaction = server.reactions.pop(0) if server.reactions else answer(204)
                server.told.append(Told(self.path, self.headers, body))
                reaction(self)

            def do_GET(self) -> None:
                server.told.append(Told(self.path, self.headers, b"GET"))
                answer(200)(self)

        return Handler
