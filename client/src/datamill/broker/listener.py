"""Listening to events: one connection, one exclusive queue, bindings that come and go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError, ChannelClosedByBroker

from datamill import topology
from datamill.broker.connection import connect, translated
from datamill.broker.pauses import Pauses
from datamill.errors import (
    BrokerRefused,
    BrokerUnavailable,
    DatamillError,
    TopologyMismatch,
    Unroutable,
)

log = logging.getLogger(__name__)

_TURN_SECS = 1.0
_NOT_FOUND = 404
_WORTH_SAYING = 4
_FATAL = (BrokerRefused, TopologyMismatch)


def declare_topology(url: str, name: str) -> None:
    """Declare every exchange and queue, over a connection of its own.

    Raises `BrokerRefused` where this user may not.
    """
    with translated(url):
        connection = connect(url, name)
        try:
            topology.declare(connection.channel())
        finally:
            if connection.is_open:
                connection.close()


class EventListener(threading.Thread):
    """Owns a connection that only consumes; no other thread touches it.

    The queue is exclusive and named by the server, so each connection gets a new one, bound to
    the same keys. `on_event(routing_key, body)`, `on_subscribed()`, called after each connecting,
    and `on_fatal(error)`, called when it gives up for good, run in this thread, and must be quick.
    """

    def __init__(
        self,
        url: str,
        name: str,
        on_event: Callable[[str, bytes], None],
        on_subscribed: Callable[[], None],
        on_fatal: Callable[[DatamillError], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._on_event = on_event
        self._on_subscribed = on_subscribed
        self._on_fatal = on_fatal
        self._wanted: set[str] = set()
        self._bound: set[str] = set()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._connection: BlockingConnection | None = None
        self._was_connected = False
        self._lost = False
        self._error: DatamillError | None = None
        self._pauses = Pauses()

    def bind(self, key: str, timeout: float) -> None:
        """Make events of a key arrive; return once they do.

        Raises `BrokerRefused` or `BrokerUnavailable`: at once if there never was a connection,
        after `timeout` if one was lost. The key stays wanted: it is bound when there is one.
        """
        with self._changed:
            self._wanted.add(key)
            if key in self._bound:
                return
        self._wake()
        with self._changed:
            self._changed.wait_for(lambda: key in self._bound or self._hopeless, timeout)
            if key not in self._bound:
                raise self._error or BrokerUnavailable("the broker did not answer in time")

    def bind_again(self, key: str, timeout: float) -> None:
        """Make sure of a binding: the broker does not tell when somebody has taken it away.

        As when an exchange is deleted and declared again. Raises what `bind` does.
        """
        self.renew(key)
        self.bind(key, timeout)

    def renew(self, key: str) -> None:
        """Have a binding made again soon, if it is wanted; returns at once."""
        with self._changed:
            self._bound.discard(key)
        self._wake()

    @property
    def _hopeless(self) -> bool:
        if self._error is None:
            return False
        return not self._was_connected or isinstance(self._error, _FATAL)

    def unbind(self, key: str) -> None:
        """Let no more events of a key arrive."""
        with self._changed:
            self._wanted.discard(key)
        self._wake()

    def stop(self) -> None:
        """Close the connection and end; from any thread."""
        self._stopping.set()
        self._wake()

    def _wake(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.add_callback_threadsafe(lambda: None)
        except AMQPError:
            return  # it closed meanwhile: the next connection looks at everything anyway

    def run(self) -> None:
        """Listen until stopped; give up only where trying again can't help."""
        while not self._stopping.is_set():
            pause_secs = 0.0
            try:
                self._listen()
            except DatamillError as error:
                pause_secs = self._pauses.next()
                attempt = self._pauses.attempt
                # The first attempts are no news: a broker that restarts is back in seconds.
                log.log(logging.WARNING if attempt == _WORTH_SAYING else logging.DEBUG, "%s", error)
                self._set(set(), error)
                if isinstance(error, _FATAL):
                    self._on_fatal(error)
                    return
            self._stopping.wait(pause_secs)

    def _set(self, bound: set[str], error: DatamillError | None) -> None:
        with self._changed:
            self._bound = bound
            self._error = error
            self._was_connected = self._was_connected or error is None
            self._changed.notify_all()

    def _listen(self) -> None:
        with translated(self._url):
            connection = connect(self._url, self.name)
            try:
                self._serve(connection)
            finally:
                self._connection = None
                if connection.is_open:
                    connection.close()

    def _serve(self, connection: BlockingConnection) -> None:
        with self._changed:
            wanted = set(self._wanted)
        channel, queue_name = self._subscribe(connection, wanted)
        self._connection = connection
        self._set(wanted, None)
        self._pauses.worked()
        self._on_subscribed()
        while not self._stopping.is_set():
            self._update_bindings(channel, queue_name)
            connection.process_data_events(_TURN_SECS)
            # pika says nothing when the broker closes a channel or cancels a consumer.
            if self._lost or not channel.is_open:
                raise BrokerUnavailable("the broker ended the subscription")

    def _subscribe(
        self, connection: BlockingConnection, keys: set[str]
    ) -> tuple[BlockingChannel, str]:
        try:
            return self._open_queue(connection.channel(), keys)
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
        # Nobody has declared the exchange yet. Trainers may lack the right to, so it is tried
        # only now.
        try:
            with translated():
                topology.declare(connection.channel())
        except BrokerRefused as error:
            raise Unroutable from error  # a builder may still come, and declare it
        return self._open_queue(connection.channel(), keys)

    def _open_queue(self, channel: BlockingChannel, keys: set[str]) -> tuple[BlockingChannel, str]:
        self._lost = False
        channel.add_on_cancel_callback(self._on_cancelled)
        # The default type of a virtual host may be quorum, which can't be exclusive.
        declared = channel.queue_declare(
            "", exclusive=True, auto_delete=True, arguments={"x-queue-type": "classic"}
        )
        name: str = declared.method.queue
        for key in keys:
            channel.queue_bind(name, topology.EVENTS_EXCHANGE, key)
        # Events are hints: nothing is gained by acknowledging each.
        channel.basic_consume(name, self._on_message, auto_ack=True)
        return channel, name

    def _update_bindings(self, channel: BlockingChannel, queue_name: str) -> None:
        with self._changed:
            wanted, bound = set(self._wanted), set(self._bound)
        for key in wanted - bound:
            channel.queue_bind(queue_name, topology.EVENTS_EXCHANGE, key)
        for key in bound - wanted:
            channel.queue_unbind(queue_name, topology.EVENTS_EXCHANGE, key)
        if wanted != bound:
            self._set(wanted, None)

    def _on_cancelled(self, _frame: Any) -> None:
        self._lost = True

    def _on_message(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        self._on_event(method.routing_key, body)
