"""Opening the catalog: SQLite for one machine, PostgreSQL for many builders."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, create_engine, event, insert
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from datamill.broker import Outbound
from datamill.errors import DatamillError, SettingsError, first_line
from datamill.logs import DATASET_ID, about
from datamill_builder.catalog import probe, schema, upgrade
from datamill_builder.catalog.errors import CatalogFull, CatalogUnavailable, primary_code
from datamill_builder.catalog.named import row_named

log = logging.getLogger(__name__)

_BUSY_SECS = 30.0
_PG_DISK_FULL = "53100"
_ONE_MOMENT = {"isolation_level": "REPEATABLE READ"}


class Outgoing(Protocol):
    """Who publishes what is in the outbox."""

    def send(self, messages: list[Outbound]) -> None:
        """Publish messages whose change was committed; those that are out already are known."""

    def send_early(self, messages: list[Outbound]) -> None:
        """Publish messages whose change is not committed yet, and may never be."""

    def forget(self, messages: list[Outbound]) -> None:
        """Keep no account of messages whose change was not committed."""


class Hook(Protocol):
    """Who wants to be told of answers."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def events(self) -> Collection[str]:
        """Of what it is told."""

    def takes(self, dataset_name: str) -> bool:
        """Return whether it is told of a dataset of this name."""


class Transaction:
    """One change to the catalog, with the messages that tell of it.

    `connection` is where the functions of this package read and write; `hooks` who is to be told
    of answers.
    """

    def __init__(
        self, connection: Connection, outgoing: Outgoing | None, hooks: Sequence[Hook] = ()
    ) -> None:
        self.connection = connection
        self.hooks = hooks
        self.messages: list[Outbound] = []
        self._outgoing = outgoing
        self._moves: list[tuple[str, Sequence[object], str, str, str | None]] = []

    def moved(self, table: str, named_by: Sequence[object], origin: str, to: str) -> None:
        """Log a row's move to another state if, and only if, this change is committed."""
        self._moves.append((table, named_by, origin, to, about()))

    def log_moves(self) -> None:
        """Write the log's line of each move; those of tasks are many, and for debugging."""
        for table, named_by, origin, to, dataset_id in self._moves:
            level = logging.DEBUG if table == schema.tasks.name else logging.INFO
            if log.isEnabledFor(level):
                name = " ".join(str(part)[:12] for part in named_by)
                words = (table, name, origin, to)
                named = {DATASET_ID: dataset_id} | row_named(table, named_by)
                log.log(level, "%s %s: %s → %s", *words, extra=named)

    def publish(self, message: Outbound) -> None:
        """Publish a message if, and only if, this change is committed."""
        self.messages.append(message)

    def publish_now(self, message: Outbound) -> None:
        """Publish a message that is true whatever becomes of this change, before the commit.

        It goes into the outbox all the same: committed, it is sent until the broker has it.
        """
        self.messages.append(message)
        if self._outgoing:
            self._outgoing.send_early([message])

    def _write_outbox(self) -> None:
        if self.messages:
            rows = [
                {
                    "message_id": m.message_id,
                    "exchange": m.exchange,
                    "routing_key": m.routing_key,
                    "body": m.body,
                    "mandatory": m.mandatory,
                    "headers": json.dumps(m.headers) if m.headers else None,
                }
                for m in self.messages
            ]
            self.connection.execute(insert(schema.outbox), rows)


class Catalog:
    """The catalog's database. Threads and processes may share it."""

    def __init__(self, url: str) -> None:
        try:
            self._engine = _engine(url)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise SettingsError(
                f"DATAMILL_CATALOG_URL can't be used: {first_line(error)}; sqlite:///PATH or "
                "postgresql+psycopg://USER@HOST/DATABASE"
            ) from error
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self.folder = Path(url.removeprefix("sqlite:///")).parent if self._is_sqlite else None
        """Where the database's file is; None where a server keeps it."""
        # SQLite has one writer at a time; waiting in line here is fairer than its busy handler.
        self._turn = threading.Lock()
        self._outgoing: Outgoing | None = None
        self._hooks: Sequence[Hook] = ()
        try:
            with _translated():
                upgrade.prepare(self._engine)
        except DatamillError:
            self._engine.dispose()
            raise

    def publish_by(self, outgoing: Outgoing) -> None:
        """Hand the messages of each change to somebody who publishes them at once."""
        self._outgoing = outgoing

    def tell_hooks(self, hooks: Sequence[Hook]) -> None:
        """Write down, with each change, what these have to be told of it."""
        self._hooks = hooks

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Change the catalog, all or nothing.

        Raises `CatalogUnavailable` when the database is locked, full or away.
        """
        transaction = None
        try:
            turn = self._turn if self._is_sqlite else nullcontext()
            with _translated(), turn, self._engine.begin() as connection:
                transaction = Transaction(connection, self._outgoing, self._hooks)
                yield transaction
                transaction._write_outbox()
        except BaseException:
            if transaction and transaction.messages and self._outgoing:
                self._outgoing.forget(transaction.messages)
            raise
        transaction.log_moves()
        if transaction.messages and self._outgoing:
            self._outgoing.send(transaction.messages)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read from the catalog, as of one moment."""
        # SQLite reads as of one moment anyway; other databases have to be asked for it.
        options = {"datamill_reads": True} if self._is_sqlite else _ONE_MOMENT
        with _translated(), self._engine.connect().execution_options(**options) as connection:
            yield connection

    def takes_changes(self, within_secs: float) -> bool:
        """Return whether a change can be made; waits so long, at most, for whoever locks it.

        A server that does not answer at all is waited for longer.
        """
        return probe.takes_changes(self._engine, within_secs)

    def close(self) -> None:
        """Close all connections to the database."""
        self._engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError, ProgrammingError):
        raise  # trying again would not help: the statement or its values are at fault
    except DBAPIError as error:
        kind = CatalogFull if _says_full(error.orig) else CatalogUnavailable
        raise kind(f"the catalog can't be used just now: {error.orig}") from error
    except PoolTimeout as error:
        raise CatalogUnavailable(
            "the catalog can't be used just now: it keeps all waiting"
        ) from error


def _says_full(error: object) -> bool:
    if isinstance(error, sqlite3.Error):
        return primary_code(error) == sqlite3.SQLITE_FULL
    return getattr(error, "sqlstate", None) == _PG_DISK_FULL


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        # Whoever is paused in the middle of a change must not keep the others waiting for ever.
        session = {"options": "-c idle_in_transaction_session_timeout=30000", "connect_timeout": 10}
        return create_engine(
            url, pool_size=40, max_overflow=40, pool_pre_ping=True, connect_args=session
        )
    Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=40, max_overflow=40, connect_args={"timeout": _BUSY_SECS})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute("PRAGMA journal_mode=WAL")
        # An acknowledged request must survive a power cut: sync at every commit.
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("datamill_reads")
        # A writer that begins as a reader can't wait its turn later: SQLite would refuse it.
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine
