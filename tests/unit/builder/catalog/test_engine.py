"""The catalog's database: a change happens as a whole, with its messages, or not at all."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from datamill.broker import Outbound
from datamill.errors import SettingsError
from datamill_builder.catalog import Catalog, CatalogTooNew, CatalogUnavailable, Transaction, engine
from datamill_builder.catalog.outbox import confirmed, unsent
from datamill_builder.catalog.rows import insert_new, upsert
from datamill_builder.catalog.schema import SCHEMA_VERSION, meta
from tests.unit.builder.forker import Forker
from tests.unit.builder.waiting import told


@pytest.fixture
def catalog_file(memory: Path) -> Iterator[Path]:
    """A file of the test's own: some of these tests do bad things to it."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder) / "catalog.sqlite"


@pytest.fixture
def catalog_url(catalog_file: Path) -> str:
    return f"sqlite:///{catalog_file}"


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    opened = Catalog(catalog_url)
    yield opened
    opened.close()


def message(number: int) -> Outbound:
    return Outbound("exchange", f"key.{number}", b"\x00body", f"id-{number}", mandatory=True)


def note(change: Transaction, key: str, value: str = "") -> None:
    upsert(change.connection, meta, [{"key": key, "value": value}], ["key"])


def notes(catalog: Catalog) -> dict[str, str]:
    with catalog.read() as connection:
        return {row.key: row.value for row in connection.execute(select(meta))}


def waiting(catalog: Catalog) -> list[Outbound]:
    with catalog.read() as connection:
        return unsent(connection)


def test_state_and_messages_are_written_together(catalog: Catalog) -> None:
    with catalog.write() as change:
        note(change, "state", "new")
        change.publish(message(1))
        change.publish(message(2))
    assert notes(catalog)["state"] == "new"
    assert waiting(catalog) == [message(1), message(2)]


def test_a_change_that_goes_wrong_leaves_nothing(catalog: Catalog) -> None:
    outgoing = Noted(catalog)
    catalog.publish_by(outgoing)
    with pytest.raises(ZeroDivisionError), catalog.write() as change:
        note(change, "state", "new")
        change.publish(message(1))
        raise ZeroDivisionError
    assert "state" not in notes(catalog)
    assert waiting(catalog) == []
    assert outgoing.sent == []


def test_a_message_that_can_not_be_written_takes_the_change_back(catalog: Catalog) -> None:
    with catalog.write() as change:
        change.publish(message(1))
    with pytest.raises(IntegrityError), catalog.write() as change:
        note(change, "state", "new")
        change.publish(message(1))
    assert "state" not in notes(catalog)


class Noted:
    """Notes what it is given, and what the outbox holds meanwhile."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.sent: list[tuple[list[Outbound], list[Outbound]]] = []
        self.early: list[Outbound] = []
        self.forgotten: list[Outbound] = []

    def send(self, messages: list[Outbound]) -> None:
        self.sent.append((messages, waiting(self._catalog)))

    def send_early(self, messages: list[Outbound]) -> None:
        self.early += messages

    def forget(self, messages: list[Outbound]) -> None:
        self.forgotten += messages


def test_messages_are_handed_over_after_the_commit_only(catalog: Catalog) -> None:
    outgoing = Noted(catalog)
    catalog.publish_by(outgoing)
    with catalog.write() as change:
        change.publish(message(1))
        assert outgoing.sent == []
    assert outgoing.sent == [([message(1)], [message(1)])]
    with catalog.write() as change:
        note(change, "quiet")
    assert len(outgoing.sent) == 1, "a change without messages is not told"
    assert outgoing.early == outgoing.forgotten == []


def test_what_is_true_in_any_case_is_handed_over_at_once(catalog: Catalog) -> None:
    outgoing = Noted(catalog)
    catalog.publish_by(outgoing)
    with catalog.write() as change:
        change.publish_now(message(1))
        assert outgoing.early == [message(1)]
        assert outgoing.sent == []
    assert outgoing.sent == [([message(1)], [message(1)])]
    assert outgoing.forgotten == []


def test_what_was_handed_over_for_nothing_is_taken_back(catalog: Catalog) -> None:
    outgoing = Noted(catalog)
    catalog.publish_by(outgoing)
    with pytest.raises(ZeroDivisionError), catalog.write() as change:
        change.publish_now(message(1))
        raise ZeroDivisionError
    assert outgoing.forgotten == [message(1)]
    assert outgoing.sent == waiting(catalog) == []


def test_whoever_publishes_may_write_himself(catalog: Catalog) -> None:
    class StrikesOut(Noted):
        def send(self, messages: list[Outbound]) -> None:
            with catalog.write() as change:
                confirmed(change, messages)

    catalog.publish_by(StrikesOut(catalog))
    with catalog.write() as change:
        change.publish(message(1))
    assert waiting(catalog) == []


def test_confirmed_messages_go_others_stay_in_order(catalog: Catalog) -> None:
    with catalog.write() as change:
        for number in range(1200):
            change.publish(message(number))
    with catalog.write() as change:
        confirmed(change, [message(number) for number in range(1, 1199)])
    assert waiting(catalog) == [message(0), message(1199)]


def test_a_second_writer_waits_its_turn(catalog: Catalog) -> None:
    order = []
    inside, go = threading.Event(), threading.Event()

    def first() -> None:
        with catalog.write() as change:
            inside.set()
            assert go.wait(5.0)
            note(change, "who", "first")
            order.append("first")

    def second() -> None:
        with catalog.write() as change:
            order.append("second")
            note(change, "who", "second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(5.0)
    threads[1].start()
    assert notes(catalog).get("who") is None, "a reader does not wait"
    go.set()
    for thread in threads:
        thread.join(5.0)
    assert order == ["first", "second"]
    assert notes(catalog)["who"] == "second"


def test_a_writer_of_another_program_is_waited_for(catalog: Catalog, catalog_file: Path) -> None:
    other = sqlite3.connect(catalog_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Event()

    def write() -> None:
        with catalog.write() as change:
            note(change, "late")
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not done.wait(0.1)
    other.execute("COMMIT")
    other.close()
    thread.join(5.0)
    assert done.is_set()


def test_a_locked_catalog_is_unavailable_not_broken(
    catalog_url: str, catalog_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BUSY_SECS", 0.05)
    catalog = Catalog(catalog_url)
    other = sqlite3.connect(catalog_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogUnavailable, match="locked"), catalog.write() as change:
        note(change, "never")
    other.execute("ROLLBACK")
    other.close()
    with catalog.write() as change:
        note(change, "after")
    assert set(notes(catalog)) == {"schema_version", "after"}
    catalog.close()


def test_readers_see_one_moment(catalog: Catalog) -> None:
    with catalog.write() as change:
        note(change, "value", "old")
    query = select(meta.c.value).where(meta.c.key == "value")
    with catalog.read() as connection:
        assert connection.scalar(query) == "old"
        with catalog.write() as change:
            note(change, "value", "new")
        assert connection.scalar(query) == "old"
    assert notes(catalog)["value"] == "new"


def test_a_commit_survives_a_power_cut(catalog: Catalog) -> None:
    with catalog.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_newer_catalog_is_refused_and_left_as_it_is(catalog: Catalog, catalog_url: str) -> None:
    with catalog.write() as change:
        change.connection.execute(
            update(meta).where(meta.c.key == "schema_version").values(value=str(SCHEMA_VERSION + 1))
        )
    with pytest.raises(CatalogTooNew, match="newer Datamill"):
        Catalog(catalog_url)
    assert notes(catalog)["schema_version"] == str(SCHEMA_VERSION + 1)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_text("this is a letter to my aunt, and no database\n" * 100)
    with pytest.raises(CatalogUnavailable, match="not a database"):
        Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")


def test_processes_may_open_a_new_catalog_at_once(
    forker: Forker, catalog_url: str, tmp_path: Path
) -> None:
    answers = [tmp_path / f"opened-{number}" for number in range(4)]
    for answer in answers:
        forker.start("open_catalog", catalog_url, answer)
    assert [told(answer) for answer in answers] == ["[]"] * 4


def test_insert_new_tells_whether_it_was(catalog: Catalog) -> None:
    row = {"key": "once", "value": "1"}
    with catalog.write() as change:
        assert insert_new(change.connection, meta, row)
        assert not insert_new(change.connection, meta, {**row, "value": "2"})
    assert notes(catalog)["once"] == "1"
    with catalog.write() as change:
        change.connection.execute(delete(meta).where(meta.c.key == "once"))
        assert insert_new(change.connection, meta, row)


@pytest.mark.parametrize("url", ["nonsense", "unknown+thing://host/x", "postgresql+nodriver://h/x"])
def test_an_address_that_can_not_be_used_is_said_in_one_line(url: str) -> None:
    with pytest.raises(SettingsError, match="DATAMILL_CATALOG_URL can't be used") as refused:
        Catalog(url)
    assert "\n" not in str(refused.value)


def test_a_catalog_that_keeps_all_connections_waiting_is_away(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on PostgreSQL, when somebody who is paused holds what all others need."""
    monkeypatch.setattr(catalog._engine.pool, "_timeout", 0.1)
    with ExitStack() as held, pytest.raises(CatalogUnavailable, match="waiting"):
        for _ in range(1000):
            held.enter_context(catalog.read())
    assert notes(catalog)
