"""Where the notifier listens, and how others reach it."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from datamill.errors import ServiceUnavailable, SettingsError
from datamill.settings import Settings

PORT_FILE = "http-port"
"""In the home: the port of the last time, so that addresses in old events stay good."""

_LOOPBACK = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::")
_BACKLOG = 1024


class AddressInUse(ServiceUnavailable):
    """Another process listens there already."""


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 is any that is free."""

    host: str
    port: int


def parse_listen(text: str) -> Address:
    """Return what `host:port` (`[::1]:8080`) says; raise `SettingsError`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.netloc != text or parts.username is not None:
        raise SettingsError(f"DATAMILL_LISTEN: {text!r} is not host:port, as in 127.0.0.1:8080")
    return Address(host, port)


def listening_socket(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say.

    By default on loopback, on the port of the last time if that is free. Raises `AddressInUse`
    or `SettingsError`.
    """
    if settings.listen:
        return _listen(parse_listen(settings.listen))
    kept = settings.home / PORT_FILE
    try:
        listening = _listen(Address(_LOOPBACK, _kept_port(kept)))
    except AddressInUse:
        listening = _listen(Address(_LOOPBACK, 0))
    _keep_port(kept, listening.getsockname()[1])
    return listening


def public_url(settings: Settings, listening: socket.socket) -> str:
    """Return the address to put into events, without a `/` behind."""
    if settings.public_url:
        return settings.public_url
    host, port = listening.getsockname()[:2]
    if settings.listen:
        host = parse_listen(settings.listen).host
    if host in _EVERYWHERE:
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(address: Address) -> socket.socket:
    place = f"{address.host}:{address.port}"
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"{place}: another process listens there already") from error
        raise SettingsError(
            f"DATAMILL_LISTEN: can't listen on {place}: {error.strerror}"
        ) from error


def _kept_port(file: Path) -> int:
    try:
        port = int(file.read_text())
    except (OSError, ValueError):
        return 0
    return port if 0 < port < 65536 else 0


def _keep_port(file: Path, port: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{port}")
    temporary.write_text(f"{port}\n")
    temporary.replace(file)
