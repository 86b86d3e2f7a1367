"""The outbox: messages written in the transaction whose outcome they tell."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable

from sqlalchemy import Connection, delete, select

from datamill import topology
from datamill.broker import Outbound
from datamill.events import Event
from datamill.tracing import carried_headers
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.schema import outbox


def new_message_id() -> str:
    """Return an id for a new message; it stays the same however often the message is sent."""
    return str(uuid.uuid4())


def tell(change: Transaction, event: Event, *, now: bool = False) -> None:
    """Publish an event once this change is committed, or `now`, if it is true in any case."""
    publish = change.publish_now if now else change.publish
    message = (topology.EVENTS_EXCHANGE, event.routing_key, event.encode(), new_message_id())
    publish(Outbound(*message, headers=carried_headers()))


def unsent(connection: Connection, limit: int = 10_000) -> list[Outbound]:
    """Return messages that no broker has confirmed yet, oldest first."""
    rows = connection.execute(select(outbox).order_by(outbox.c.seq).limit(limit))
    return [
        Outbound(
            row.exchange,
            row.routing_key,
            row.body,
            row.message_id,
            row.mandatory,
            json.loads(row.headers) if row.headers else None,
        )
        for row in rows
    ]


def unsent_ids(connection: Connection) -> set[str]:
    """Return the ids of all messages that no broker has confirmed yet."""
    return set(connection.scalars(select(outbox.c.message_id)))


def unsent_tickets(connection: Connection) -> list[bytes]:
    """Return the bodies of the tickets that no broker has confirmed yet."""
    query = select(outbox.c.body).where(outbox.c.exchange == topology.WORK_EXCHANGE)
    return list(connection.scalars(query))


def confirmed(change: Transaction, messages: Iterable[Outbound]) -> None:
    """Strike out messages that the broker has."""
    ids = [message.message_id for message in messages]
    for start in range(0, len(ids), 500):
        change.connection.execute(
            delete(outbox).where(outbox.c.message_id.in_(ids[start : start + 500]))
        )
