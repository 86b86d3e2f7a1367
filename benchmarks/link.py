"""A long link on this machine: a process that forwards TCP connections and makes them wait.

Every byte arrives half a round trip later, and a connection has at most a window of bytes under
way in each direction, as TCP has: the next ones wait until word has come back that others arrived.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_READ_BYTES = 256 * 1024


@contextmanager
def long_link(port: int, round_trip_secs: float, window_bytes: int) -> Iterator[int]:
    """Forward to a port on loopback; give the port to connect to instead."""
    context = multiprocessing.get_context("spawn")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        arguments = (listening, port, round_trip_secs / 2, window_bytes)
        process = context.Process(target=_run, args=arguments, daemon=True)
        process.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            process.terminate()
            process.join(10)


def _run(listening: socket.socket, port: int, delay_secs: float, window_bytes: int) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(listening, port, delay_secs, window_bytes))


async def _serve(listening: socket.socket, port: int, delay_secs: float, window_bytes: int) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port, limit=_READ_BYTES)
        await asyncio.gather(
            _Direction(reader, there[1], delay_secs, window_bytes).run(),
            _Direction(there[0], writer, delay_secs, window_bytes).run(),
        )

    server = await asyncio.start_server(forward, sock=listening, limit=_READ_BYTES)
    await server.serve_forever()


class _Direction:
    """One direction of a connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        delay_secs: float,
        window_bytes: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._delay_secs = delay_secs
        self._room = window_bytes
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Forward until one end closes; then close the other."""
        delivering = asyncio.create_task(self._deliver())
        with suppress(ConnectionError):
            while not delivering.done():
                while self._room <= 0 and not delivering.done():
                    await self._change()
                body = await self._reader.read(max(1, min(_READ_BYTES, self._room)))
                if not body:
                    break
                self._room -= len(body)
                self._put(body)
        self._put(b"")
        await delivering

    def _put(self, body: bytes) -> None:
        due = asyncio.get_running_loop().time() + self._delay_secs
        self._under_way.append((due, body))
        self._changed.set()

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while True:
                while not self._under_way:
                    await self._change()
                due, body = self._under_way.popleft()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not body:
                    break
                self._writer.write(body)
                await self._writer.drain()
                loop.call_later(self._delay_secs, self._free, len(body))
        self._writer.close()
        self._changed.set()

    def _free(self, count: int) -> None:
        self._room += count
        self._changed.set()

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()
