"""Serving one archive of 1 GiB to 1, 4 and 16 clients at once, beside nginx with sendfile.

The same bytes, in the page cache, to the same clients: processes that receive and throw away. The
notifier is one process; nginx has a worker per core. Throughput, and the servers' processor time.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns
from benchmarks.nginx import nginx
from benchmarks.served import served_archive

CLIENTS = (1, 4, 16)
THROUGHPUT, PROCESSOR = 0.9, 1.5
_BUFFER_BYTES = 1024 * 1024
_HEAD_BYTES = 64 * 1024
_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


def measure(rounds: int) -> list[Comparison]:
    """Serve to each number of clients, in turns."""
    comparisons = []
    with served_archive() as served, nginx(served.path.parent) as peer:
        servers = [(served.url, served.pid), (f"{peer.url}/{served.path.name}", peer.pid)]
        for count in CLIENTS:
            clients = _Clients(count)
            cpu: tuple[list[float], ...] = tuple([] for _ in servers)
            try:
                ours, theirs = in_turns(
                    [
                        partial(_serve, clients, *server, spent)
                        for server, spent in zip(servers, cpu, strict=True)
                    ],
                    rounds,
                )
            finally:
                clients.close()
            ours_cpu, theirs_cpu = (tuple(spent[-rounds:]) for spent in cpu)
            to = f"serving to {count} client{'s' * (count > 1)}"
            comparisons += [
                Comparison(to, "GB/s", ours, "nginx", theirs, Limit.times_at_least(THROUGHPUT)),
                Comparison(
                    f"{to}, the server's processor time",
                    "s per GB",
                    ours_cpu,
                    "nginx",
                    theirs_cpu,
                    Limit.times_at_most(PROCESSOR),
                ),
            ]
    return comparisons


def _serve(clients: _Clients, url: str, pid: int, spent: list[float]) -> float:
    """Return GB/s; add to `spent` the server's seconds per GB."""
    before = _processor_secs(pid)
    gigabytes, secs = clients.fetch(url)
    spent.append((_processor_secs(pid) - before) / gigabytes)
    return gigabytes / secs


def _processor_secs(pid: int) -> float:
    """Return the processor time of a process and its children so far, those that live included."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_SEC + sum(
        map(_processor_secs, map(int, children))
    )


class _Clients:
    """Processes that wait for an address, fetch it and throw it away."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Any] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_client, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def fetch(self, url: str) -> tuple[float, float]:
        """Let all fetch at once; return the gigabytes that came, and the seconds."""
        began = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(url)
        received = sum(pipe.recv() for pipe in self._pipes)
        return received / 1e9, time.perf_counter() - began

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(10)


def _client(pipe: Any) -> None:
    buffer = bytearray(_BUFFER_BYTES)
    pipe.send("here")
    while True:
        pipe.send(_fetch(pipe.recv(), buffer))


def _fetch(url: str, buffer: bytearray) -> int:
    """Return how many bytes the body had. No library: nothing that costs more than receiving."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(_HEAD_BYTES)
        assert head.startswith(b"HTTP/1.1 200"), head[:100]
        received = len(head.partition(b"\r\n\r\n")[2])
        while count := connection.recv_into(buffer):
            received += count
    return received


if __name__ == "__main__":
    answer(__doc__, measure)
