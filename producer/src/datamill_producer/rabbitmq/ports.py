"""Ports of the private node: free ones on loopback, kept with its data."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below the ranges that Linux (32768) and macOS (49152) give to outgoing connections: while the
# node is down, none of those takes a kept port.
FIRST_PORT, LAST_PORT = 20_000, 32_000


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port of the loopback interface."""
    with socket.socket() as probe:
        # As Erlang does: connections of a killed predecessor linger without harm.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def kept_ports(file: Path, names: Iterable[str], in_use: Iterable[str] = ()) -> dict[str, int]:
    """Return a port for each name: the one in `file` if it is still free, else a new one.

    The ports named by `in_use` are our own children's and stay as they are.
    """
    before = _read(file)
    ports: dict[str, int] = {}
    for name in names:
        port = before.get(name)
        if port is None or (name not in in_use and not is_free(port)):
            port = _new_port({*before.values(), *ports.values()})
        ports[name] = port
    file.write_text(json.dumps(before | ports), encoding="utf-8")
    return ports


def _read(file: Path) -> dict[str, int]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): int(port) for name, port in kept.items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}  # not there, or cut off by a crash: new ports do as well


def _new_port(taken: set[int]) -> int:
    while True:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if port not in taken and is_free(port):
            return port
