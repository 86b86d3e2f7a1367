"""What is checked of the broker, over AMQP: who it is, whether it takes messages, its queues."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from datamill import topology
from datamill.broker import connect, translated
from datamill.broker.connection import server_properties
from datamill.checkup import Check, Found, error, ok, warning
from datamill.errors import BrokerBusy, BrokerRefused, DatamillError, TopologyMismatch, first_line
from datamill_producer.up.brokers import place

_NAME = "datamill doctor"
_OLDEST = (3, 10)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BLOCKED_SECS = 3.0
"""How long an alarm may keep a message waiting before it is called one."""
_MANY_WAIT = 10_000
_NOT_LOOKED_AT = ok("not looked at: the line about the broker says why")


def broker_checks(url: str) -> Iterator[Check]:
    """Yield the checks of a broker."""
    yield Check("broker", partial(_broker, url))
    yield Check("broker alarms", partial(_alarms, url))
    yield Check("queues", partial(_queues, url))


@contextmanager
def _connected(url: str, blocked_secs: float = 60.0) -> Iterator[Any]:
    with translated(url):
        connection = connect(url, _NAME, blocked_secs)
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()


def _broker(url: str) -> Iterator[Found]:
    try:
        with _connected(url) as connection:
            told = server_properties(connection)
    except DatamillError as failure:
        yield error(first_line(failure), "start it, or set DATAMILL_BROKER_URL to where it is")
        return
    product, version = str(told.get("product", "it")), str(told.get("version", "?"))
    if product != "RabbitMQ":
        yield warning(
            f"{product} {version} at {place(url)}", "only RabbitMQ is tried with Datamill"
        )
    elif _number(version) < _OLDEST:
        yield error(f"RabbitMQ {version} at {place(url)}", "3.10 is the oldest that will do")
    else:
        yield ok(f"RabbitMQ {version} at {place(url)}")
    yield from _manners(url)


def _manners(url: str) -> Iterator[Found]:
    """Say what is wrong with the address itself, wherever it leads."""
    parts = urlsplit(url)
    if parts.hostname in _LOOPBACK:
        return
    if parts.username == "guest":
        yield warning("the user is guest, whom everybody knows", "make users: docs/permissions.md")
    if parts.scheme == "amqp":
        yield warning("its password travels as it is", "use amqps:// beyond this machine")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) or (0,)


def _alarms(url: str) -> Iterator[Found]:
    """Publish to nobody: a broker with an alarm keeps that waiting."""
    try:
        with _connected(url, _BLOCKED_SECS) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            # To the default exchange, for a queue that nobody has: confirmed, and dropped.
            channel.basic_publish("", f"datamill.doctor.{uuid.uuid4()}", b"")
    except BrokerBusy:
        yield error(
            "it takes no messages: an alarm is on, for memory or disk",
            "on its machine: rabbitmq-diagnostics alarms; make room, it goes on by itself",
        )
    except BrokerRefused:
        yield ok("not looked at: this user may not publish to the default exchange")
    except DatamillError:
        yield _NOT_LOOKED_AT
    else:
        yield ok("it takes messages: none is on")


def _queues(url: str) -> Iterator[Found]:
    try:
        with _connected(url) as connection:
            for exchange in topology.EXCHANGES:
                yield from _exchange(connection, exchange)
            for queue in topology.QUEUES:
                yield from _queue(connection, queue)
    except DatamillError:
        yield _NOT_LOOKED_AT


def _exchange(connection: Any, exchange: topology.Exchange) -> Iterator[Found]:
    try:
        with translated():
            connection.channel().exchange_declare(exchange.name, passive=True)
            connection.channel().exchange_declare(exchange.name, exchange.type, durable=True)
    except TopologyMismatch as failure:
        yield error(first_line(failure), "delete it while nothing runs: it is declared anew")
    except BrokerRefused:
        return  # this user may only use it
    except DatamillError:
        yield ok(f"{exchange.name}: not there yet; whoever comes first declares it")


def _queue(connection: Any, queue: topology.Queue) -> Iterator[Found]:
    try:
        with translated():
            counts = connection.channel().queue_declare(queue.name, passive=True).method
    except BrokerRefused:
        yield ok(f"{queue.name}: this user may not look at it")
        return
    except DatamillError:
        yield ok(f"{queue.name}: not there yet; whoever comes first declares it")
        return
    yield _depth(queue.name, counts.message_count, counts.consumer_count)
    try:
        with translated():  # it is there: this makes nothing, and compares its arguments
            arguments = {"x-queue-type": "quorum", **queue.arguments}
            connection.channel().queue_declare(queue.name, durable=True, arguments=arguments)
    except TopologyMismatch as failure:
        yield error(
            first_line(failure),
            "delete it while nothing runs: it is declared anew, and filled from the catalog",
        )
    except BrokerRefused:
        return


def _depth(name: str, messages: int, consumers: int) -> Found:
    said = f"{name}: {messages} messages, {consumers} consumers"
    if name == topology.DEAD_QUEUE:
        return warning(said, "look at them: datamill dead list") if messages else ok(said)
    if not consumers:
        advice = "nobody takes from it: start a builder"
        return error(said, advice) if messages else warning(said, advice)
    if messages > _MANY_WAIT:
        return warning(said, "more builders, or workers, would shorten it")
    return ok(said)
