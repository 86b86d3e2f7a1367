"""Where the notifier of `datamill up` listens."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from datamill.errors import SettingsError
from datamill_producer.rabbitmq.ports import LOOPBACK, kept_ports

PORTS_FILE = "ports.json"
_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(?P<port>[0-9]{1,5})")
_EVERYWHERE = {"0.0.0.0": LOOPBACK, "[::]": "[::1]"}
"""Addresses that mean all interfaces, and one at which this machine reaches itself."""


def listen_address(given: str | None, home: Path) -> str:
    """Return `host:port`: the given one, else a free port on loopback, kept with the home."""
    if given is None:
        return f"{LOOPBACK}:{kept_ports(home / PORTS_FILE, ['http'])['http']}"
    host, port = _split(given)
    return f"{host}:{port or _free_port(host)}"


def http_url(listen: str) -> str:
    """Return the address at which clients on this machine reach the notifier."""
    host, port = _split(listen)
    return f"http://{_EVERYWHERE.get(host, host)}:{port}"


def _split(listen: str) -> tuple[str, int]:
    found = _LISTEN.fullmatch(listen)
    if found is None or int(found["port"]) > 65535:
        raise SettingsError(f"DATAMILL_LISTEN: {listen!r} is no host:port; 0.0.0.0:8080 is one")
    return found["host"], int(found["port"])


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host.strip("[]"), 0))
        return int(probe.getsockname()[1])
