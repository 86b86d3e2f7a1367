"""doctor: a line for everything, what to do, and an end whatever hangs."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datamill.checkup import Check, Found, Level, error, ok, warning
from datamill.errors import ServiceUnavailable
from datamill.settings import load_settings
from datamill_producer.cli import datamill
from datamill_producer.doctor.clock import clock
from datamill_producer.doctor.home import home_checks
from datamill_producer.doctor.machine import machine_checks
from datamill_producer.doctor.making import make


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("BROKER_URL", "URL", "CATALOG_URL", "RAW_ROOT", "DATASETS", "HANDLER_SOURCES"):
        monkeypatch.delenv(f"DATAMILL_{name}", raising=False)
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "home"


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(datamill, ["doctor", *arguments])


def told(*arguments: str) -> dict[str, list[dict[str, Any]]]:
    """Return what each check found."""
    by_check: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(doctor("--json", *arguments).stdout)["checks"]:
        by_check.setdefault(one["check"], []).append(one)
    return by_check


# --- making checks ---


def hangs(until: threading.Event) -> Iterator[Found]:
    until.wait()
    yield ok("never")


def fails() -> Iterator[Found]:
    yield ok("one")
    raise ServiceUnavailable("amqp://me:hunter2@host is away\nmore")


def test_what_hangs_is_given_up_on_and_the_others_are_told() -> None:
    until, given_up = threading.Event(), threading.Event()
    checks = [
        Check("first", lambda: [ok("fine")]),
        Check("hangs", partial(hangs, until), given_up.set),
        Check("last", lambda: [warning("so so", "do this")]),
    ]
    began = time.monotonic()
    found = dict(make(checks, limit_secs=0.2))
    assert time.monotonic() - began < 5.0
    until.set()
    assert found["first"] == [ok("fine")]
    assert found["last"] == [warning("so so", "do this")]
    assert found["hangs"][0].level is Level.ERROR
    assert "0.2 s" in found["hangs"][0].says
    assert given_up.is_set()


def test_an_error_is_a_finding_without_passwords() -> None:
    ((_, found),) = make([Check("fails", fails)])
    assert found[0] == ok("one")
    assert (found[1].level, found[1].says) == (Level.ERROR, "amqp://me:***@host is away")


def test_they_are_made_at_once() -> None:
    together = threading.Barrier(3, timeout=10)

    def look() -> list[Found]:
        together.wait()
        return [ok("met")]

    found = dict(make([Check(name, look) for name in "abc"]))
    assert list(found.values()) == [[ok("met")]] * 3


# --- single checks ---


def found_by(checks: Iterator[Check], name: str) -> list[Found]:
    return dict(make(check for check in checks if check.name == name))[name]


@pytest.mark.parametrize("name", ["run.json", "admin-token", "broker/password"])
def test_secrets_that_others_may_read(home: Path, name: str) -> None:
    file = home / name
    file.parent.mkdir(parents=True)
    file.write_text("secret")
    file.chmod(0o600)
    assert [each.level for each in found_by(home_checks(load_settings()), "secrets")] == ["ok"]
    file.chmod(0o644)
    (found,) = found_by(home_checks(load_settings()), "secrets")
    assert found.level is Level.ERROR
    assert found.advice == f"chmod go= {file}"


def test_a_home_that_others_may_write_to(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    levels = [each.level for each in found_by(home_checks(load_settings()), "home")]
    assert Level.ERROR in levels
    home.chmod(0o755)
    assert {each.level for each in found_by(home_checks(load_settings()), "home")} == {Level.OK}


def test_a_home_that_is_a_file(home: Path) -> None:
    home.write_text("")
    (found,) = found_by(home_checks(load_settings()), "home")
    assert "no folder" in found.says
    assert "DATAMILL_HOME" in (found.advice or "")


def test_disks_are_looked_at_where_they_will_be(home: Path) -> None:
    (found, *_) = found_by(machine_checks(load_settings()), "disk of the store")
    assert f"at {home.parent}" in found.says
    assert "free of" in found.says


@pytest.mark.parametrize(
    ("ahead", "level"), [(0, "ok"), (4, "ok"), (600, "warning"), (-90, "warning")]
)
def test_clocks(ahead: int, level: str) -> None:
    (found,) = clock("the other", formatdate(1_000_000 + ahead, usegmt=True), 1_000_000.0)
    assert found.level == level
    if level == "warning":
        assert f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} this one" in found.says


@pytest.mark.parametrize("date", [None, "", "tomorrow"])
def test_no_date_says_nothing(date: str | None) -> None:
    assert list(clock("the other", date)) == []


# --- the command ---


def test_it_works_where_nothing_runs_and_makes_nothing(home: Path) -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    assert "`datamill up`" in result.stdout
    assert "0 errors" in result.stdout.splitlines()[-1]
    assert not home.exists()
    names = set(told())
    assert {"Python", "home", "secrets", "service", "catalog", "store", "uv"} <= names
    assert {"raw root", "open files", "disk of the home", "handler source"} <= names


def test_a_broker_that_is_away_is_an_error_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAMILL_BROKER_URL", "amqp://me:hunter2@127.0.0.1:1/x")
    result = doctor()
    assert result.exit_code == 1
    assert "hunter2" not in result.output
    (found,) = told()["broker"]
    assert found["level"] == "error"
    assert "DATAMILL_BROKER_URL" in found["advice"]


def test_a_broker_that_says_nothing_ends_with_the_limit(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("DATAMILL_BROKER_URL", f"amqp://me:hunter2@127.0.0.1:{port}/x")
        monkeypatch.setenv("DATAMILL_URL", f"http://127.0.0.1:{port}")
        began = time.monotonic()
        found = told("--limit", "1")
        assert time.monotonic() - began < 8.0
    for name in ("broker", "queues", "notifier"):
        assert [one["level"] for one in found[name]] == ["error"], name
    assert found["Python"][0]["level"] == "ok"


def test_a_management_api_that_is_not_there(home: Path) -> None:
    found = told("--management-url", "http://me:hunter2@127.0.0.1:1")
    (one,) = found["broker management"]
    assert one["level"] == "error"
    assert "hunter2" not in json.dumps(found)


def test_handler_sources_are_each_looked_at(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "wheels").mkdir()
    sources = f"{tmp_path / 'wheels'},{tmp_path / 'none'},git+file://{tmp_path / 'no.git'}"
    monkeypatch.setenv("DATAMILL_HANDLER_SOURCES", sources)
    found = told()["handler source"]
    assert [one["level"] for one in found] == ["warning", "error", "error"]
    monkeypatch.setenv("DATAMILL_HANDLER_SOURCES", "git+ssh://host/repository")
    (one,) = told()["handler sources"]
    assert one["level"] == "error"


def test_a_catalog_of_a_newer_datamill(home: Path) -> None:
    from datamill_builder.catalog import Catalog
    from datamill_builder.catalog.schema import SCHEMA_VERSION, meta

    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    (one,) = told()["catalog"]
    assert (one["level"], str(SCHEMA_VERSION) in one["says"]) == ("ok", True)
    with catalog.write() as change:
        change.connection.execute(meta.update().values(value="99"))
    catalog.close()
    (one,) = told()["catalog"]
    assert (one["level"], one["advice"]) == ("error", "upgrade Datamill")


def test_a_catalog_that_is_no_database(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "catalog.sqlite").write_text("no database " * 100)
    (one,) = told()["catalog"]
    assert one["level"] == "error"
    monkeypatch.setenv("DATAMILL_CATALOG_URL", "nonsense")
    (one,) = told()["catalog"]
    assert one["level"] == "error"


def test_an_error_has_an_exit_code_and_a_setting_too(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAMILL_WORKERS", "many")
    assert doctor().exit_code == 78


def test_findings_as_documents() -> None:
    assert error("no", "do").document() == {"level": "error", "says": "no", "advice": "do"}
    assert ok("yes").document() == {"level": "ok", "says": "yes", "advice": None}
