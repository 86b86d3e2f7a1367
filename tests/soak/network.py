"""A network before a port that can go dark, be cut, or cut each connection after some bytes."""

from __future__ import annotations

import contextlib
import socket
import threading

_CHUNK_BYTES = 1 << 16
_ACCEPT_SECS = 0.5


class Forwarder(threading.Thread):
    """Forwards every connection to one port of this machine, in both directions."""

    def __init__(self, target_port: int) -> None:
        super().__init__(name="forwarder", daemon=True)
        self._target_port = target_port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listening.settimeout(_ACCEPT_SECS)
        self.port: int = self._listening.getsockname()[1]
        self.cut_after_bytes: int | None = None
        """How many bytes an answer may have before its connection is cut, if so."""
        self._lit = threading.Event()
        self._lit.set()
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()
        self._stopping = False

    def run(self) -> None:
        while not self._stopping:
            try:
                near, _ = self._listening.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port), 5.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._guard:
                self._open |= {near, far}
            for source, target in ((near, far), (far, near)):
                arguments = (source, target, self.cut_after_bytes if source is far else None)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                self._lit.wait()
                target.sendall(chunk[:left])
                if left is not None:
                    left -= len(chunk)
                    if left <= 0:
                        break
        self._drop({source, target})

    def _drop(self, ends: set[socket.socket]) -> None:
        with self._guard:
            self._open -= ends
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def black_out(self) -> None:
        """Swallow nothing, deliver nothing: no end of a connection is told anything."""
        self._lit.clear()

    def heal(self) -> None:
        """Deliver again what was held up."""
        self._lit.set()

    def cut(self) -> None:
        """End every connection."""
        with self._guard:
            ends = set(self._open)
        self._drop(ends)

    def close(self) -> None:
        """End everything."""
        self._stopping = True
        self.heal()
        self._listening.close()
        self.cut()
