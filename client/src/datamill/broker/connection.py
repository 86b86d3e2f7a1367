"""Connections to the broker, and the one place where pika's exceptions become ours."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pika
from pika.adapters.blocking_connection import BlockingConnection
from pika.adapters.utils.connection_workflow import (
    AMQPConnectorException,
    AMQPConnectorStackTimeout,
)
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionBlockedTimeout,
    ConnectionClosedByBroker,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

from datamill.errors import (
    BrokerBusy,
    BrokerRefused,
    BrokerUnavailable,
    DatamillError,
    TopologyMismatch,
    Unroutable,
)

HEARTBEAT_SECS = 10
"""A dead peer is noticed within twice (this + 5) seconds."""

_OPEN_SECS = 10.0
_ACCESS_REFUSED = 403
_PRECONDITION_FAILED = 406
_NOT_ALLOWED = 530
_SAID_BY_BROKER = re.compile(r"ConnectionClosedByBroker: \((\d+)\) ['\"](.*)['\"]")


def parameters(
    url: str, name: str, blocked_timeout_secs: float | None = 60.0
) -> pika.URLParameters:
    """Return pika's parameters for an `amqp://` or `amqps://` address.

    `name` is what the broker's lists of connections show. `blocked_timeout_secs`: how long the
    broker may take no messages; None: for ever. `amqps://` verifies the certificate and the host
    name.
    """
    try:
        result = pika.URLParameters(url)
    except (ValueError, TypeError) as error:
        raise BrokerRefused(
            "the broker's address can't be read; amqp://user:password@host:port/vhost"
        ) from error
    result.heartbeat = HEARTBEAT_SECS
    result.blocked_connection_timeout = blocked_timeout_secs
    result.socket_timeout = 5.0
    result.stack_timeout = _OPEN_SECS
    result.client_properties = {"connection_name": name, "product": "datamill"}
    return result


def connect(url: str, name: str, blocked_timeout_secs: float = 60.0) -> BlockingConnection:
    """Return an open connection; it belongs to the calling thread.

    Raises `BrokerUnavailable` where trying again may help, `BrokerRefused` where it can't.
    """
    _quiet_pika()
    with translated(url):
        return BlockingConnection(parameters(url, name, blocked_timeout_secs))


def server_properties(connection: BlockingConnection) -> dict[str, Any]:
    """Return what the broker said of itself when it was connected to: `product`, `version`, …"""
    # pika's blocking connection hides it, and has no other way to ask.
    return dict(connection._impl.server_properties or {})


_TRANSPORT_ERRORS = (
    AMQPError,
    AMQPConnectorException,  # who takes connections and says nothing: no AMQPError to pika
    ssl.SSLError,
    socket.gaierror,
    ConnectionError,
    TimeoutError,
)


@contextmanager
def translated(url: str | None = None) -> Iterator[None]:
    """Turn pika's exceptions into Datamill's; `url` only names the host in the message."""
    try:
        yield
    except _TRANSPORT_ERRORS as error:
        raise translate(error, url) from error


def translate(error: BaseException, url: str | None = None) -> DatamillError:
    """Return Datamill's error for one of pika's (subclasses first: pika nests them oddly)."""
    place = f" at {_host(url)}" if url else ""
    match error:
        case AuthenticationError():
            return BrokerRefused(f"the broker{place} refused the user name or password")
        case ProbableAuthenticationError() | ProbableAccessDeniedError():
            return _not_opened(error, place)
        case ssl.SSLCertVerificationError(verify_message=why):
            return BrokerRefused(f"the certificate of the broker{place} can't be trusted: {why}")
        case ConnectionBlockedTimeout() | NackError():
            return BrokerBusy()
        case UnroutableError():
            return Unroutable()
        case AMQPConnectorStackTimeout():
            return BrokerUnavailable(
                f"the broker{place} took the connection, and said nothing for {_OPEN_SECS:.0f} s"
            )
        case (
            ChannelClosedByBroker(reply_code=code, reply_text=text)
            | ConnectionClosedByBroker(reply_code=code, reply_text=text)
        ):
            return _closed(code, text)
    return BrokerUnavailable(f"the broker{place} could not be reached: {_reason(error)}")


def _not_opened(error: AMQPError, place: str) -> DatamillError:
    """Return the error for a connection that ended while it was being opened.

    pika guesses why from how far it had come; but a broker that goes down just then, or whose
    virtual host is still coming up, is no refusal. The reason that the broker gave is one.
    """
    said = _SAID_BY_BROKER.search(str(error.args[0]) if error.args else "")
    code, text = (int(said[1]), said[2]) if said else (0, "the connection was cut")
    # A broker that counts connections may count those that it has not noticed to be gone.
    if code not in (_ACCESS_REFUSED, _NOT_ALLOWED) or "limit" in text:
        return BrokerUnavailable(f"the broker{place} could not be reached: {text}")
    if isinstance(error, ProbableAuthenticationError):
        return BrokerRefused(f"the broker{place} refused the user name or password")
    return BrokerRefused(f"the broker{place} refused the virtual host")


def _closed(code: int, text: str) -> DatamillError:
    if code in (_ACCESS_REFUSED, _NOT_ALLOWED):
        return BrokerRefused(f"the broker refused: {text}")
    if code == _PRECONDITION_FAILED and "inequivalent arg" in text:
        return TopologyMismatch(f"{text}; delete it on the broker, or use another virtual host")
    return BrokerUnavailable(f"the broker closed the connection: {code} {text}")


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


def _reason(error: BaseException) -> str:
    """Return what the operating system said: pika wraps it in up to three errors."""
    if inner := getattr(error, "exceptions", None):
        return _reason(inner[-1])
    if inner := getattr(error, "exception", None):
        return _reason(inner)
    if error.args and isinstance(error.args[0], BaseException):
        return _reason(error.args[0])
    return str(error) or type(error).__name__


def _quiet_pika() -> None:
    # pika logs each ordinary reconnect as an error with a traceback; ours say it in a line.
    logger = logging.getLogger("pika")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)
