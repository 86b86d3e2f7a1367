"""A catalog of an older version is brought to today's schema, and is kept as it was beside it.

`older/` holds what older versions wrote: one build ready, one with one shard of three, one request
refused, one new, nothing of it published yet.
"""

from __future__ import annotations

import errno
import json
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, inspect, select, text

from datamill import topology
from datamill.errors import SettingsError
from datamill.events import decode_event
from datamill_builder.catalog import Catalog, CatalogFull, schema, tasks, upgrade
from datamill_builder.catalog.outbox import unsent
from datamill_builder.catalog.states import TaskKind
from tests.support.postgresql import PostgresqlServer, postgresql
from tests.unit.builder.life import Life, request

__all__ = ["postgresql"]

OLDER = Path(__file__).parent / "older"
OTHER = "d" * 64
"""The content key of the build that is half done."""
ADDED = {
    2: {"scrubbed_at", "turn"},
    3: {"client", "trace", "meant", "pinned_at", "read_at", "told_at", "headers", "server"},
}
"""Columns by the version that brought them; empty in what older versions wrote."""
NEW_TABLES = {"raw_versions", "builders", "counters", "hook_calls"}
"""Those that are not in all older versions; empty after an upgrade."""
VERSIONS = range(1, schema.SCHEMA_VERSION)


def test_every_older_version_has_its_catalogs_here() -> None:
    names = {f"schema-{n}.{kind}.sql" for n in VERSIONS for kind in ("sqlite", "postgresql")}
    assert {path.name for path in OLDER.glob("*.sql")} == names


@pytest.fixture
def catalog_file(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def older_file(catalog_file: Path, version: int) -> Path:
    """A database of an older version."""
    with closing(sqlite3.connect(catalog_file)) as database:
        database.executescript((OLDER / f"schema-{version}.sqlite.sql").read_text())
    catalog_file.chmod(0o640)
    return catalog_file


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def older(request: pytest.FixtureRequest, version: int) -> Iterator[str]:
    """The address of a catalog of an older version."""
    if request.param == "sqlite":
        yield f"sqlite:///{request.getfixturevalue('older_file')}"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    url = server.add_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql((OLDER / f"schema-{version}.postgresql.sql").read_text())
    engine.dispose()
    yield url


def kept_address(url: str, version: int) -> tuple[str, str | None]:
    """Return where the older catalog is kept: (database, schema)."""
    if url.startswith("sqlite"):
        return f"{url}.schema-{version}", None
    return url, f"datamill_schema_{version}"


def rows_of(url: str, name: str | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables, but for what schema 1 did not have."""
    added = set().union(*ADDED.values())
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names(name)
        place = f"{name}." if name else ""
        found = {
            table: sorted(
                tuple((key, value) for key, value in row._mapping.items() if key not in added)
                for row in connection.execute(text(f"SELECT * FROM {place}{table}"))
            )
            for table in tables
            if table not in NEW_TABLES
        }
    engine.dispose()
    return found


def shape_of(url: str) -> dict[str, Any]:
    """Return the columns, keys and indexes of all tables."""
    engine = create_engine(url)
    with engine.connect() as connection:
        looked = inspect(connection)
        shape = {
            name: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in looked.get_columns(name)],
                looked.get_pk_constraint(name)["constrained_columns"],
                sorted((i["name"], *i["column_names"]) for i in looked.get_indexes(name)),
            )
            for name in looked.get_table_names()
        }
    engine.dispose()
    return shape


def test_nothing_is_lost_and_all_is_kept(older: str, version: int) -> None:
    before = rows_of(older)
    Catalog(older).close()
    assert rows_of(*kept_address(older, version)) == before
    after = rows_of(older)
    assert ("value", str(schema.SCHEMA_VERSION)) in after["meta"][0]
    assert {**after, "meta": 0} == {**before, "meta": 0}
    assert len(after["shards"]) == 5 and len(after["outbox"]) > 20


def test_the_tables_are_those_of_a_new_catalog(
    older: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    new = f"sqlite:///{tmp_path / 'new.sqlite'}"
    if older.startswith("postgresql"):
        new = request.getfixturevalue("postgresql").add_database()
    for url in (older, new):
        Catalog(url).close()
    assert shape_of(older) == shape_of(new)


def test_work_goes_on_where_it_stood(older: str) -> None:
    catalog = Catalog(older)
    life = Life(catalog)
    assert life.build().state == "ready"
    life.forget_told()
    left = {entry for entry in life.pending() if entry[0] is TaskKind.SHARD}
    assert left == {(TaskKind.SHARD, OTHER, 2)}
    with catalog.write() as change:  # whose owner does not live any more
        tasks.take_from(change, tasks.leased(change.connection))
    for index in (1, 2):
        life.shard(index, key=OTHER)
    life.pack(OTHER, name=f"toy_1.0.0_{OTHER}.zip")
    told = [event for event in life.told() if event["event"] == "ready"]
    assert [event["dataset_id"] for event in told] == [request(made=2).dataset_id]
    assert life.task(TaskKind.SHARD, OTHER, 0).attempts == 1
    catalog.close()


def test_what_was_to_be_told_is_still_understood(older: str) -> None:
    catalog = Catalog(older)
    with catalog.read() as connection:
        messages = unsent(connection)
    catalog.close()
    seen = set()
    for message in messages:
        if message.exchange == topology.EVENTS_EXCHANGE:
            event = decode_event(message.body)
            assert message.routing_key == event.routing_key
            seen.add(event.event)
        else:
            ticket = json.loads(message.body)
            seen.add(TaskKind(ticket["task"]))
    assert seen == {"accepted", "planned", "shard", "ready", "failed", *TaskKind}


def test_the_second_opening_changes_nothing(older: str, version: int) -> None:
    catalog = Catalog(older)
    with catalog.write() as change:
        change.connection.execute(schema.requests.delete())
    catalog.close()
    Catalog(older).close()
    assert len(rows_of(*kept_address(older, version))["requests"]) == 4, "kept from before"


def test_several_that_open_it_at_once_upgrade_it_once(older: str, version: int) -> None:
    before = rows_of(older)
    with ThreadPoolExecutor(6) as pool:
        for catalog in pool.map(Catalog, [older] * 6):
            catalog.close()
    assert rows_of(*kept_address(older, version)) == before


def test_several_make_a_new_one_at_once(postgresql: PostgresqlServer) -> None:
    url = postgresql.add_database()
    with ThreadPoolExecutor(6) as pool:
        for catalog in pool.map(Catalog, [url] * 6):
            catalog.close()
    assert rows_of(url)["meta"] == [
        (("key", "schema_version"), ("value", str(schema.SCHEMA_VERSION)))
    ]


@pytest.mark.parametrize("version", VERSIONS, indirect=True)
def test_the_kept_file_is_one_file_as_private_as_the_catalog(
    older_file: Path, version: int
) -> None:
    Catalog(f"sqlite:///{older_file}").close()
    kept = older_file.with_name(f"{older_file.name}.schema-{version}")
    assert sorted(older_file.parent.glob("*.schema-*")) == [kept]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640


@pytest.mark.parametrize("version", VERSIONS, indirect=True)
def test_who_goes_back_finds_what_was_there(older_file: Path, version: int) -> None:
    before = rows_of(f"sqlite:///{older_file}")
    url = f"sqlite:///{older_file}"
    Catalog(url).close()
    older_file.with_name(f"{older_file.name}.schema-{version}").replace(older_file)
    assert rows_of(url) == before
    Catalog(url).close()
    assert rows_of(*kept_address(url, version)) == before


def test_the_readme_leads_back(
    older: str, version: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before, shape = rows_of(older), shape_of(older)
    Catalog(older).close()
    engine = create_engine(older)
    with engine.begin() as connection:
        for statement in way_back(version):
            connection.execute(text(statement))
    engine.dispose()
    assert rows_of(older) == before
    assert shape_of(older) == shape
    Catalog(older).close()
    assert rows_of(*kept_address(older, version)) == before, "and forth again"


def way_back(version: int) -> list[str]:
    """Return the statements that README gives for going back to a version."""
    readme = (Path(__file__).parents[4] / "README.md").read_text()
    (sql,) = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
    statements = [line.rstrip(";") for line in sql.splitlines() if not line.startswith("--")]
    (last,) = (n for n, line in enumerate(statements) if f"value = '{version}'" in line)
    return statements[: last + 1]


def test_a_paused_upgrade_keeps_nobody_from_a_catalog_of_today(
    postgresql: PostgresqlServer,
) -> None:
    url = postgresql.add_database()
    Catalog(url).close()
    engine = create_engine(url)
    with engine.begin() as paused:
        paused.execute(text("LOCK TABLE meta IN SHARE ROW EXCLUSIVE MODE"))
        paused.execute(select(func.pg_advisory_xact_lock(upgrade._MAKING)))
        Catalog(url).close()
    engine.dispose()


@pytest.mark.parametrize("version", VERSIONS, indirect=True)
def test_a_full_disk_at_the_backup_may_have_room_again(
    older_file: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(upgrade, "sync", full)
    with pytest.raises(CatalogFull, match=r"backup can't be written: .*No space left"):
        Catalog(f"sqlite:///{older_file}")
    monkeypatch.undo()
    Catalog(f"sqlite:///{older_file}").close()


@pytest.mark.parametrize("version", VERSIONS, indirect=True)
def test_a_step_that_breaks_off_leaves_all_as_it_was(
    older_file: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(f"sqlite:///{older_file}")

    def break_off(connection: Any) -> None:
        connection.execute(text("ALTER TABLE builds ADD COLUMN half FLOAT"))
        raise KeyboardInterrupt

    monkeypatch.setitem(upgrade._STEPS, schema.SCHEMA_VERSION, break_off)
    with pytest.raises(KeyboardInterrupt):
        Catalog(f"sqlite:///{older_file}")
    monkeypatch.undo()
    assert rows_of(f"sqlite:///{older_file}") == before
    Catalog(f"sqlite:///{older_file}").close()
    assert rows_of(*kept_address(f"sqlite:///{older_file}", version)) == before


@pytest.mark.parametrize("version", VERSIONS, indirect=True)
def test_without_a_backup_nothing_is_upgraded(older_file: Path, version: int) -> None:
    before = rows_of(f"sqlite:///{older_file}")
    kept = older_file.with_name(f"{older_file.name}.schema-{version}")
    kept.mkdir()  # in the way
    with pytest.raises(SettingsError, match="its backup can't be written"):
        Catalog(f"sqlite:///{older_file}")
    assert rows_of(f"sqlite:///{older_file}") == before
    assert not list(older_file.parent.glob("*.part"))


def test_a_role_that_may_write_no_backup_is_told(postgresql: PostgresqlServer) -> None:
    url = postgresql.add_database()
    name = url.rsplit("/", 1)[1]
    role = f"role_{name}"
    postgresql.execute(f"CREATE ROLE {role} LOGIN")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql((OLDER / "schema-1.postgresql.sql").read_text())
        connection.exec_driver_sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    engine.dispose()
    before = rows_of(url)
    with pytest.raises(SettingsError, match="permission denied for database"):
        Catalog(url.replace("//datamill@", f"//{role}@"))
    assert rows_of(url) == before


@pytest.mark.parametrize("found", ["0", "one", "-1"])
def test_a_version_that_never_was_is_refused(catalog_file: Path, found: str) -> None:
    url = f"sqlite:///{catalog_file}"
    Catalog(url).close()
    with closing(sqlite3.connect(catalog_file)) as database:
        database.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (found,))
        database.commit()
    with pytest.raises(SettingsError, match="none of Datamill's"):
        Catalog(url)


def test_steps_lead_to_every_version() -> None:
    steps: dict[int, Callable[..., None]] = upgrade._STEPS
    assert sorted(steps) == list(range(2, schema.SCHEMA_VERSION + 1))
