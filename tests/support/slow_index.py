"""A package index whose wheels come as slowly as a test likes."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

_PACE_SECS = 0.5


class SlowIndex:
    """Serves a folder of wheels by the simple repository API, a byte at a time, until `release`."""

    def __init__(self, folder: Path) -> None:
        self._release = threading.Event()
        self._lock = threading.Lock()
        self.waiting = 0
        """How many downloads of wheels are under way."""
        self.most = 0
        """How many there were at most."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(folder))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def source(self) -> str:
        """What goes before the packages' names in DATAMILL_HANDLER_SOURCES."""
        return f"index+http://127.0.0.1:{self._server.server_address[1]}/simple#package="

    def release(self) -> None:
        """Send the rest of everything at once."""
        self._release.set()

    def trickle(self, answer: BaseHTTPRequestHandler, body: bytes) -> None:
        """Send a body; slowly, so that nobody takes the server for dead."""
        with self._lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        try:
            sent = 0
            while not self._release.wait(_PACE_SECS) and sent < len(body) - 1:
                answer.wfile.write(body[sent : sent + 1])
                sent += 1
            answer.wfile.write(body[sent:])
        finally:
            with self._lock:
                self.waiting -= 1

    def _handler(self, folder: Path) -> type[BaseHTTPRequestHandler]:
        index = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith(".whl"):
                    body = (folder / self.path.rpartition("/")[2]).read_bytes()
                    self._head(len(body), "application/octet-stream")
                    index.trickle(self, body)
                    return
                package = self.path.strip("/").rpartition("/")[2].replace("-", "_")
                wheels = [path.name for path in folder.glob(f"{package}-*.whl")]
                links = "".join(f'<a href="/wheels/{name}">{name}</a>' for name in wheels)
                page = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
                self._head(len(page), "text/html")
                self.wfile.write(page)

            def _head(self, size: int, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(size))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Answer

    def __enter__(self) -> SlowIndex:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
