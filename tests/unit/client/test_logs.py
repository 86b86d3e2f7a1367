"""Log lines: for people, for machines, and without passwords."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill import logs
from datamill.settings import Settings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def logged(tmp_path: Path, stream: io.StringIO, log_format: str = "auto") -> str:
    settings = Settings(home=tmp_path, log_format=log_format)  # type: ignore[arg-type]
    logs.configure(settings, "notifier", stream)
    log = logging.getLogger("datamill_notifier.x")
    log.debug("not shown")
    log.info("packed %d records", 3, extra={logs.DATASET_ID: "ab" * 32})
    log.warning("away: amqp://datamill:secret@host:1/vh")
    return stream.getvalue()


def test_people_get_text(tmp_path: Path) -> None:
    first, second = logged(tmp_path, Terminal()).splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d notifier  packed 3 records \[abababababab\]", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d notifier  WARNING: away: .*", second)


def test_machines_get_a_json_object_per_line(tmp_path: Path) -> None:
    first, second = map(json.loads, logged(tmp_path, io.StringIO()).splitlines())
    assert first["part"] == "notifier"
    assert first["level"] == "info"
    assert first["message"] == "packed 3 records"
    assert first["dataset_id"] == "ab" * 32
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z", first["time"])
    assert "dataset_id" not in second


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_passwords_stay_out(tmp_path: Path, log_format: str) -> None:
    written = logged(tmp_path, io.StringIO(), log_format)
    assert "secret" not in written
    assert "amqp://datamill:***@host:1/vh" in written


def test_passwords_stay_out_of_tracebacks(tmp_path: Path) -> None:
    stream = io.StringIO()
    logs.configure(Settings(home=tmp_path), "builder", stream)
    try:
        raise ValueError("postgresql+psycopg://me:secret@db/catalog")
    except ValueError:
        logging.getLogger("x").exception("failed")
    line = json.loads(stream.getvalue())
    assert "secret" not in line["traceback"]
    assert "postgresql+psycopg://me:***@db/catalog" in line["traceback"]


def test_configuring_twice_writes_once(tmp_path: Path) -> None:
    logs.configure(Settings(home=tmp_path), "builder", io.StringIO())
    assert len(logged(tmp_path, io.StringIO()).splitlines()) == 2
