"""`Expect` fields of bytes that are no text: aiohttp 3.14.5 quotes them in its 417, and fails."""

from __future__ import annotations

from typing import Any

from aiohttp import web

_FIELD = "Expect"
_STAND_IN = "something that is no text"


def guard(server: web.Server) -> None:
    """Let a server refuse any expectation that it can't meet, whatever bytes it is of."""
    make = server.request_factory

    def make_guarded(message: Any, *rest: Any) -> Any:
        return make(_readable(message), *rest)

    server.request_factory = make_guarded


def _readable(message: Any) -> Any:
    if message.headers.get(_FIELD, "").isascii():
        return message
    headers = message.headers.copy()
    headers[_FIELD] = _STAND_IN
    return message._replace(headers=type(message.headers)(headers))
