"""Publishing requests that came over HTTP."""

from __future__ import annotations

import asyncio
import logging
import uuid

from datamill import topology
from datamill.broker import Publisher
from datamill.broker.listener import declare_topology
from datamill.client_name import CLIENT_FIELD
from datamill.errors import BrokerRefused, ServiceUnavailable, Unroutable, first_line
from datamill.request import Request
from datamill.trace_context import TraceContext
from datamill_notifier.call_thread import CallThread
from datamill_notifier.problems import unavailable

log = logging.getLogger(__name__)

_MAX_WAITING = 100
_WAIT_SECS = 8.0
"""How long an answer may take: our own client gives up after 10 s."""
_BLOCKED_SECS = 5.0
"""How long a broker that takes no messages is waited for: others wait behind."""
_NAME = "datamill notifier requests"


class Asker:
    """Publishes requests in a thread of its own; belongs to the event loop."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._publisher = Publisher(broker_url, _NAME, _BLOCKED_SECS)
        self._thread = CallThread("ask")
        self._waiting = 0

    async def ask(
        self,
        request: Request,
        trace: TraceContext | None = None,
        client: str | None = None,
        message_id: str | None = None,
    ) -> str:
        """Return the message's id once the broker has the request, which comes from `client`.

        Under the same id it counts as one request, however often it is asked.

        Raises the problem that answers where it can't be told that the broker has it; asking
        twice is harmless.
        """
        if self._waiting >= _MAX_WAITING:
            raise unavailable("too many requests are waiting for the broker: come back in a moment")
        identity = message_id or str(uuid.uuid4())
        self._waiting += 1
        headers: dict[str, str | int] = {CLIENT_FIELD: client} if client else {}
        headers |= trace.headers() if trace else {}
        publishing = self._thread.call(lambda: self._publish(request, identity, headers))
        publishing.add_done_callback(self._over)
        try:
            await asyncio.wait_for(asyncio.shield(publishing), _WAIT_SECS)
        except (ServiceUnavailable, BrokerRefused) as error:
            log.warning("a request could not be published: %s", error)
            raise unavailable(first_line(error)) from error
        except TimeoutError as error:
            raise unavailable("the broker takes its time: ask again in a moment") from error
        return identity

    def _publish(self, request: Request, message_id: str, headers: dict[str, str | int]) -> None:
        key = topology.request_key(request.dataset_name)
        message = (topology.REQUESTS_EXCHANGE, key, request.encode(), message_id, headers or None)
        try:
            self._publisher.publish(*message)
        except Unroutable:
            # Somebody deleted the queue, and no builder is there to declare it again.
            declare_topology(self._url, _NAME)
            self._publisher.publish(*message)

    def _over(self, publishing: asyncio.Future[None]) -> None:
        self._waiting -= 1
        if not publishing.cancelled():
            publishing.exception()  # it was answered, or its sender has left

    def close(self) -> None:
        """Close the connection; what is not published yet is not."""
        self._thread.call(self._publisher.close)
        self._thread.stop()
