"""Who asks, as a name for people: a field of requests, over the broker as over HTTP."""

from __future__ import annotations

import getpass
import os
import socket
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datamill.settings import Settings

CLIENT_FIELD = "datamill-client"
"""The AMQP header, and the HTTP header field, that says who asks. It may be left out."""

MAX_CLIENT_CHARACTERS = 128


def client_name(settings: Settings) -> str | None:
    """Return the name that the settings give this client, `user@host` by default.

    None where they say that it has none.
    """
    if settings.client_name is None:
        return sendable(f"{_user()}@{socket.gethostname()}")
    return sendable(settings.client_name)


def sendable(said: object) -> str | None:
    """Return what somebody calls itself without what is no text to show; None if nothing is left.

    A name comes from outside: of any type and length, with line breaks in it.
    """
    return _cleaned(said[: 2 * MAX_CLIENT_CHARACTERS]) if isinstance(said, str) else None


@lru_cache(maxsize=1000)
def _cleaned(text: str) -> str | None:
    if not text.isprintable():
        # Category C: control and format characters, lone surrogates.
        text = "".join(one for one in text if unicodedata.category(one)[0] != "C")
    return text.strip()[:MAX_CLIENT_CHARACTERS].strip() or None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return str(os.getuid())
