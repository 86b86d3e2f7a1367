"""When builder and notifier can serve."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from datamill import topology
from datamill.broker import connect, translated
from datamill.errors import BrokerUnavailable

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingConnection

_HTTP_TIMEOUT_SECS = 2.0
_SERVING = ("catalog", "store", "broker")
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Our own child is not behind the environment's proxy."""


class BuilderLook:
    """Looks whether somebody takes requests; keeps a connection from one look to the next."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: BlockingConnection | None = None

    def ready(self) -> bool:
        """Return whether the requests queue has a consumer."""
        try:
            with translated(self._url):
                if self._connection is None or not self._connection.is_open:
                    self._connection = connect(self._url, "datamill up")
                channel = self._connection.channel()
                answer = channel.queue_declare(topology.REQUESTS_QUEUE, passive=True)
                channel.close()
        except BrokerUnavailable:
            return False  # the supervisor sees that it is gone
        return bool(answer.method.consumer_count)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None and self._connection.is_open:
            self._connection.close()


def notifier_ready(http_url: str) -> bool:
    """Return whether the notifier says that it can serve."""
    try:
        with _DIRECTLY.open(f"{http_url}/readyz", timeout=_HTTP_TIMEOUT_SECS):
            return True
    except urllib.error.HTTPError as unready:
        with unready:
            return can_serve(unready.read())
    except (OSError, http.client.HTTPException):
        return False  # not there yet


def can_serve(said: bytes) -> bool:
    """Return whether a notifier that is not ready can serve: all it lacks is room on a disk.

    What is there can be had meanwhile, and builds go on when there is room.
    """
    try:
        parts = json.loads(said)
        return parts["disk"] is False and all(parts[name] for name in _SERVING)
    except (ValueError, KeyError, TypeError):
        return False
