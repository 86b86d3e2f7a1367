"""Which pages may use this server from a browser: its own."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from datamill_notifier.problems import Problem

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_origin(request: web.Request, public_url: str) -> None:
    """Refuse pages of other sites: browsers let those open WebSockets and post anywhere."""
    origin = request.headers.get("Origin")
    if origin is not None and _place(origin) != _place(public_url):
        raise Problem(403, "forbidden", f"pages of other sites can't use it; this is {public_url}")


def _place(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", "", None
    return parts.scheme, "loopback" if host in _LOOPBACK else host, port
