"""Publishing many messages with confirms, without waiting for one before the next.

The relay of the outbox, and of replays: one thread, one connection that only publishes.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.channel import Channel
from pika.exceptions import AMQPConnectionError
from pika.spec import Basic

from datamill import topology
from datamill.broker.connection import connect, parameters, translate, translated
from datamill.broker.pauses import Pauses
from datamill.broker.publisher import properties
from datamill.errors import BrokerRefused, DatamillError, TopologyMismatch

log = logging.getLogger(__name__)

MAX_UNCONFIRMED = 1000
"""How many messages may be on their way at a time."""

_RETRY_SECS = 1.0


@dataclass(frozen=True)
class Outbound:
    """A message to publish; `mandatory`: a queue must be there to take it."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    mandatory: bool = False
    headers: dict[str, str | int] | None = field(default=None, hash=False)


class OutboundRelay(threading.Thread):
    """Publishes what `send` is given, in order, again and again until the broker has it.

    `on_confirmed(messages)` is called in this thread, and must be quick. Messages may arrive
    twice when the connection breaks between publish and confirm. `still_unsent(messages)` is
    asked, before each connection, which of them nobody else has published meanwhile.
    """

    def __init__(
        self,
        url: str,
        name: str,
        on_confirmed: Callable[[list[Outbound]], None],
        still_unsent: Callable[[list[Outbound]], list[Outbound]] | None = None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._on_confirmed = on_confirmed
        self._still_unsent = still_unsent
        self._lock = threading.Lock()
        self._waiting: deque[Outbound] = deque()
        self._unconfirmed: dict[int, Outbound] = {}
        self._returned: set[str] = set()
        self._refused: list[Outbound] = []
        self._next_tag = 1
        self._connection: pika.SelectConnection | None = None
        self._channel: Channel | None = None
        self.blocked = False
        """Whether the broker takes no messages just now."""
        self._pauses = Pauses()
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self.fatal: DatamillError | None = None
        """Why this relay gave up for good, if it did."""

    def send(self, messages: Iterable[Outbound]) -> None:
        """Queue messages for publishing; from any thread."""
        with self._lock:
            self._waiting.extend(messages)
        self._wake(self._flush)

    def offer(self, messages: Iterable[Outbound]) -> None:
        """Publish messages if they can go out at once, else drop them; from any thread.

        While the broker is away or takes nothing, they would pile up here.
        """
        with self._lock:
            flowing = self._channel is not None and not (self.blocked or self._waiting)
        if flowing:
            self.send(messages)

    def idle(self) -> bool:
        """Return whether everything sent so far is confirmed."""
        with self._lock:
            return not (self._waiting or self._unconfirmed or self._refused)

    def stop(self) -> None:
        """Close the connection and end; what is not confirmed stays with the sender."""
        self._stopping.set()
        self._wake(self._close)

    def run(self) -> None:
        """Keep a connection until stopped."""
        while not self._stopping.is_set():
            try:
                self._declare()
                self._drop_sent()
                self._publish_until_closed()
            except (BrokerRefused, TopologyMismatch) as error:
                self.fatal = error
                return
            except DatamillError as error:
                log.warning("%s: %s; trying again", self.name, error)
            self._stopping.wait(0 if self._stopping.is_set() else self._pauses.next())

    def _declare(self) -> None:
        with translated(self._url):
            connection = connect(self._url, self.name)
            try:
                topology.declare(connection.channel())
            finally:
                if connection.is_open:
                    connection.close()

    def _drop_sent(self) -> None:
        """Drop what somebody else has published while there was no connection here.

        An event that comes minutes late may tell of a failure that a new try has made good.
        """
        if self._still_unsent is None:
            return
        with self._lock:
            waiting = list(self._waiting)
        kept = {message.message_id for message in self._still_unsent(waiting)}
        gone = {message.message_id for message in waiting} - kept
        with self._lock:
            self._waiting = deque(m for m in self._waiting if m.message_id not in gone)

    def _publish_until_closed(self) -> None:
        self._error = None
        connection = pika.SelectConnection(
            # A broker that takes no messages is waited for: what was sent on a connection that
            # was given up meanwhile would arrive all the same, as often as that happens.
            parameters(self._url, self.name, blocked_timeout_secs=None),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_closed,
            on_close_callback=self._on_closed,
        )
        self._connection = connection
        if self._stopping.is_set():
            self._close()
        try:
            connection.ioloop.start()
        finally:
            self._connection = self._channel = None
            self.blocked = False
            connection.ioloop.close()
            self._take_back()
        if self._error is not None and not self._stopping.is_set():
            raise translate(self._error, self._url)

    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel)

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self.blocked = True
        log.warning("%s: the broker takes no messages: %s", self.name, frame.method.reason)

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.blocked = False
        log.info("%s: the broker takes messages again", self.name)
        self._flush()

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(
            self._on_answer, callback=lambda _frame: self._on_confirming(channel)
        )

    def _on_confirming(self, channel: Channel) -> None:
        self._next_tag = 1
        self._channel = channel
        self._pauses.worked()
        self._flush()

    def _on_channel_closed(self, _channel: Any, reason: Exception) -> None:
        self._error = self._error or reason
        self._channel = None
        if self._connection and self._connection.is_open:
            self._connection.close()

    def _on_closed(self, connection: Any, reason: Any) -> None:
        self._error = self._error or reason
        connection.ioloop.stop()

    def _close(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if connection.is_open and not self.blocked:
            connection.close()
        elif not connection.is_closing:
            connection.ioloop.stop()  # a broker that takes nothing reads no goodbye either

    def _wake(self, callback: Callable[[], None]) -> None:
        connection = self._connection
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(callback)

    def _flush(self) -> None:
        channel = self._channel
        if channel is None or not channel.is_open or self.blocked:
            return
        with self._lock:
            while self._waiting and len(self._unconfirmed) < MAX_UNCONFIRMED:
                message = self._waiting.popleft()
                self._unconfirmed[self._next_tag] = message
                self._next_tag += 1
                channel.basic_publish(
                    message.exchange,
                    message.routing_key,
                    message.body,
                    properties(message.message_id, message.headers),
                    mandatory=message.mandatory,
                )

    def _on_return(self, _channel: Any, _method: Any, returned: Any, _body: bytes) -> None:
        self._returned.add(returned.message_id)

    def _on_answer(self, frame: Any) -> None:
        answer = frame.method
        refused = isinstance(answer, Basic.Nack)
        with self._lock:
            messages = self._answered(answer.delivery_tag, answer.multiple)
        kept = [m for m in messages if not refused and m.message_id not in self._returned]
        again = [m for m in messages if refused or m.message_id in self._returned]
        if kept:
            self._on_confirmed(kept)
        if again:
            self._retry(again)
        self._flush()

    def _answered(self, tag: int, multiple: bool) -> list[Outbound]:
        tags = [t for t in self._unconfirmed if t <= tag] if multiple else [tag]
        return [self._unconfirmed.pop(t) for t in tags if t in self._unconfirmed]

    def _retry(self, messages: list[Outbound]) -> None:
        """Try again in a second: a queue was full, or somebody deleted it.

        By a new connection, since connecting declares what is missing.
        """
        first = not self._refused
        self._refused.extend(messages)
        if first and self._connection is not None:
            self._error = AMQPConnectionError("the broker gave messages back")
            self._pauses.failed()  # a queue that is full may be so for hours
            self._connection.ioloop.call_later(_RETRY_SECS, self._close)

    def _take_back(self) -> None:
        with self._lock:
            again = [*self._refused, *self._unconfirmed.values()]
            self._waiting.extendleft(reversed(again))
            self._refused.clear()
            self._unconfirmed.clear()
            self._returned.clear()
