"""A small real HTTP server that can cut, lie and be slow, and remembers its requests."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


@dataclass
class Served:
    """A file, and how it is served."""

    body: bytes
    etag: str | None = None
    """The SHA-256 by default."""
    cut_after: list[int] = field(default_factory=list)
    """For each of the next answers, after how many bytes the connection is cut."""
    bodies: list[bytes] = field(default_factory=list)
    """What the next answers hold instead."""
    status: list[int] = field(default_factory=list)
    """What the next answers are instead."""
    hold: threading.Event | None = None
    """Half of the body waits for this."""
    ranges: bool = True
    pieces: bool = True
    """Whether ranges that have an end are answered, too."""
    shift: int = 0
    """By so many bytes its word on what a range holds is off."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: Any) -> None:
        """Say nothing: clients that go away are what some tests are about."""


class FileServer:
    """Serves `files` by path, JSON documents by `json`; use it in a `with`."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.json: dict[str, Callable[[], dict[str, Any] | None]] = {}
        self.on_post: Callable[[bytes], tuple[int, dict[str, Any]]] | None = None
        self.requests: list[tuple[str, str, str | None]] = []
        """Method, path and range of each request."""
        self.posted_headers: list[Message] = []
        self.moved: dict[str, str] = {}
        """Where paths have moved to, for those who post there."""
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, path: str, body: bytes, **how: Any) -> str:
        """Serve a file; return its address."""
        self.files[path] = Served(body, **how)
        return self.url + path

    def count(self, path: str) -> int:
        return sum(1 for _method, seen, _range in self.requests if seen == path)

    def __enter__(self) -> FileServer:
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

            def do_GET(self) -> None:
                server.requests.append(("GET", self.path, self.headers.get("Range")))
                if self.path in server.json:
                    return self._answer_json(server.json[self.path]())
                if self.path not in server.files:
                    return self._answer(404, b"{}")
                self._serve(server.files[self.path])

            def do_POST(self) -> None:
                server.requests.append(("POST", self.path, None))
                server.posted_headers.append(self.headers)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path in server.moved:
                    self.send_response(301)
                    self.send_header("Location", server.moved[self.path])
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                if server.on_post is None:
                    return self._answer(404, b"{}")
                status, document = server.on_post(body)
                self._answer(status, json.dumps(document).encode())

            def _answer_json(self, document: dict[str, Any] | None) -> None:
                if document is None:
                    return self._answer(404, b"{}")
                self._answer(200, json.dumps(document).encode())

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _serve(self, served: Served) -> None:
                if served.status and (status := served.status.pop(0)) != 200:
                    return self._answer(status, b"")
                body = served.bodies.pop(0) if served.bodies else served.body
                etag = served.etag or f'"{hashlib.sha256(body).hexdigest()}"'
                start, end = self._range(served, etag, len(body))
                whole = (start, end) == (0, len(body))
                self.send_response(200 if whole else 206)
                if not whole:
                    said = f"bytes {start + served.shift}-{end - 1 + served.shift}/{len(body)}"
                    self.send_header("Content-Range", said)
                self.send_header("ETag", etag)
                self.send_header("Content-Length", str(end - start))
                self.end_headers()
                self._send(served, body[start:end])

            def _range(self, served: Served, etag: str, total: int) -> tuple[int, int]:
                found = _RANGE.match(self.headers.get("Range", ""))
                if not served.ranges or not found or self.headers.get("If-Range") != etag:
                    return 0, total
                if found[2] and not served.pieces:
                    return 0, total
                return int(found[1]), min(int(found[2] or total) + bool(found[2]), total)

            def _send(self, served: Served, body: bytes) -> None:
                if served.cut_after:
                    self.wfile.write(body[: served.cut_after.pop(0)])
                    self.close_connection = True
                    return
                if served.hold is not None:
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    assert served.hold.wait(30)
                    body = body[len(body) // 2 :]
                self.wfile.write(body)

        return Handler
