"""The queue of dead letters: looking at it, taking from it, sending back what was in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from datamill import topology
from datamill.broker import Publisher, connect, translated
from datamill.errors import BrokerUnavailable, DecodeError, Flaw, InvalidRequest, NothingFound
from datamill.request import Request

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingConnection

MAX_LETTERS = 10_000
"""So many are looked at in one go: each is held in memory until they are put back."""
SHOWN_CHARACTERS = 200
MIN_PREFIX = 6

_NAME = "datamill dead"
_NOT_REPLAYED = ("x-", "cc", "bcc")
"""Headers that would make the broker count on, see a cycle, or send copies (RabbitMQ 3.10)."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that a queue gave up. Times, names and counts are the broker's."""

    tag: int
    """The broker's number of this delivery."""
    message_id: str | None
    died_at: datetime | None
    queue: str | None
    """The queue that it died in."""
    exchange: str | None
    """The exchange that it was published to first."""
    routing_key: str | None
    death: str | None
    """Why the broker moved it: `rejected`, `delivery_limit`, `expired`, `maxlen`."""
    headers: dict[str, Any]
    """Its headers, without the ones that must not be replayed."""
    body: bytes
    number: int = 0
    """Its place among all, from 1, the longest dead first."""

    @property
    def problem(self) -> str | None:
        """Why it would be refused again; None if it would not, as far as can be told."""
        if self.exchange is None or self.routing_key is None:
            return "it does not say where it came from"
        read = self._read
        return str(read) if isinstance(read, DecodeError) else None

    @property
    def flaw(self) -> Flaw | None:
        """The same as a word for programs, where it is a request that can't be read."""
        read = self._read
        return read.flaw if isinstance(read, DecodeError) else None

    @property
    def request(self) -> Request | None:
        """The request that it is, where it is one that can be read."""
        return self._read if isinstance(self._read, Request) else None

    @cached_property
    def _read(self) -> Request | DecodeError | None:
        if self.queue != topology.REQUESTS_QUEUE or self.routing_key is None:
            return None
        try:
            return Request.received(self.body, self.routing_key)
        except DecodeError as error:
            return error

    @property
    def reason(self) -> str:
        """Why it is here."""
        if problem := self.problem:
            return problem
        return f"{self.death or 'unknown'}; there is nothing wrong with the message itself"

    @property
    def beginning(self) -> str:
        """The first characters of its body."""
        text = self.body[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace")
        return text[:SHOWN_CHARACTERS]

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "number": self.number,
            "message_id": self.message_id,
            "died_at": self.died_at.isoformat() if self.died_at else None,
            "queue": self.queue,
            "exchange": self.exchange,
            "routing_key": self.routing_key,
            "death": self.death,
            "bytes": len(self.body),
            "flaw": self.flaw,
            "reason": self.reason,
            "beginning": self.beginning,
        }


class DeadLetters:
    """The dead letters, held while this is open; what was not removed goes back at the end.

    Nobody else sees them meanwhile. For one thread.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._publisher = Publisher(url, _NAME)
        self._held: dict[int, DeadLetter] = {}

    def __enter__(self) -> DeadLetters:
        self._connection: BlockingConnection = connect(self._url, _NAME)
        with translated(self._url):
            self._channel = self._connection.channel()
            topology.declare(self._channel)
        return self

    def __exit__(self, *_error: object) -> None:
        self._publisher.close()
        if not self._connection.is_open:
            return  # the broker puts back by itself what a closed connection held
        with translated(self._url):
            # By reject, never nack: it is what every version counts.
            for tag in self._held:
                self._channel.basic_reject(tag, requeue=True)
            self._connection.close()

    def fetch(self) -> list[DeadLetter]:
        """Return the letters, the longest dead first.

        All of them (up to `MAX_LETTERS`), sorted: the queue's own order changes with each look,
        and numbers should not.
        """
        with translated(self._url):
            while len(self._held) < MAX_LETTERS:
                method, properties, body = self._channel.basic_get(topology.DEAD_QUEUE)
                if method is None:
                    break
                self._held[method.delivery_tag] = _letter(method.delivery_tag, properties, body)
        in_order = sorted(self._held.values(), key=_age)
        return [replace(letter, number=number) for number, letter in enumerate(in_order, 1)]

    def replay(self, letter: DeadLetter) -> None:
        """Publish a letter as it was at first, confirmed; only then remove it here."""
        if letter.exchange is None or letter.routing_key is None:
            raise InvalidRequest(f"dead letter {letter.number}: {letter.problem}")
        self._publisher.publish(
            letter.exchange, letter.routing_key, letter.body, letter.message_id, letter.headers
        )
        self.drop(letter)

    def pause(self, secs: float) -> None:
        """Wait, and stay connected."""
        with translated(self._url):
            self._connection.sleep(secs)

    def drop(self, letter: DeadLetter) -> None:
        """Remove a letter for good."""
        with translated(self._url):
            self._channel.basic_ack(letter.tag)
            # A round trip: pika says nothing about an acknowledgement that did not arrive.
            self._channel.queue_declare(topology.DEAD_QUEUE, passive=True)
        if not self._channel.is_open:
            raise BrokerUnavailable("the broker closed the channel; look again what is there")
        del self._held[letter.tag]


def chosen(letters: Sequence[DeadLetter], which: Iterable[str]) -> list[DeadLetter]:
    """Return the letters with these numbers or message ids (or unique beginnings of ids).

    Raises `NothingFound` for one that is not there, `InvalidRequest` for one that is ambiguous.
    """
    return list({letter.tag: letter for one in which for letter in [_one(letters, one)]}.values())


def _one(letters: Sequence[DeadLetter], given: str) -> DeadLetter:
    if given.isdecimal() and len(given) < MIN_PREFIX:
        found = [letter for letter in letters if letter.number == int(given)]
    else:
        found = [letter for letter in letters if letter.message_id == given]
    if not found and len(given) >= MIN_PREFIX:
        found = [letter for letter in letters if (letter.message_id or "").startswith(given)]
    if not found:
        raise NothingFound(f"no dead letter {given}: `datamill dead list` shows them")
    if len(found) > 1:
        raise InvalidRequest(f"{given} means {len(found)} dead letters: choose by number")
    return found[0]


def _age(letter: DeadLetter) -> tuple[str, str, bytes]:
    died_at = letter.died_at.isoformat() if letter.died_at else ""
    return died_at, letter.message_id or "", letter.body


def _letter(tag: int, properties: Any, body: bytes) -> DeadLetter:
    headers = properties.headers or {}
    deaths = [death for death in headers.get("x-death") or [] if isinstance(death, dict)]
    # The newest death is first; the oldest tells how it was published.
    last, first = (deaths[0], deaths[-1]) if deaths else ({}, {})
    keys = first.get("routing-keys") or [None]
    return DeadLetter(
        tag=tag,
        message_id=properties.message_id,
        died_at=last.get("time"),
        queue=last.get("queue"),
        exchange=first.get("exchange"),
        routing_key=keys[0],
        death=last.get("reason"),
        headers={k: v for k, v in headers.items() if not k.lower().startswith(_NOT_REPLAYED)},
        body=body,
    )
