"""Log lines: for people, for machines, and without passwords."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from datamill import logs, tracing
from datamill.settings import Settings
from datamill.trace_context import TraceContext


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


def machine_lines(tmp_path: Path, write: Callable[[logging.Logger], None]) -> list[dict[str, str]]:
    stream = io.StringIO()
    logs.configure(Settings(home=tmp_path), "builder", stream)
    write(logging.getLogger("datamill_builder.x"))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_who_works_for_a_dataset_names_it_in_every_line(tmp_path: Path) -> None:
    def work(log: logging.Logger) -> None:
        log.info("before")
        with logs.About("ab" * 32):
            log.info("inside")
            with logs.About("cd" * 32):
                log.info("for another")
            log.info("this one", extra={logs.DATASET_ID: "ef" * 32})
            thread = threading.Thread(target=log.info, args=("elsewhere",))
            thread.start()
            thread.join()
            context = contextvars.copy_context()
        context.run(log.info, "handed on")
        log.info("after")

    lines = machine_lines(tmp_path, work)
    assert {line["message"]: line.get("dataset_id") for line in lines} == {
        "before": None,
        "inside": "ab" * 32,
        "for another": "cd" * 32,
        "this one": "ef" * 32,
        "elsewhere": None,
        "handed on": "ab" * 32,
        "after": None,
    }


def test_a_line_names_the_trace_that_its_work_belongs_to(tmp_path: Path) -> None:
    context = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

    def work(log: logging.Logger) -> None:
        with tracing.Carrying(context):
            log.info("inside")
        log.info("after")

    inside, after = machine_lines(tmp_path, work)
    assert inside["trace_id"] == context.trace_id
    assert "trace_id" not in after
    stream = Terminal()
    logs.configure(Settings(home=tmp_path), "builder", stream)
    with tracing.Carrying(context), logs.About("ab" * 32):
        logging.getLogger("x").info("packed")
    assert stream.getvalue().endswith(f"packed [abababababab] [trace {context.trace_id}]\n")


def test_what_a_library_says_through_structlog_looks_the_same(tmp_path: Path) -> None:
    def work(_log: logging.Logger) -> None:
        logger = structlog.get_logger("library")
        logger.info("connected to %s", "amqp://me:secret@host/", port=5672, at="http://a:secret@b")
        try:
            raise ValueError("broken")
        except ValueError:
            logger.exception("failed")

    connected, failed = machine_lines(tmp_path, work)
    assert connected["message"] == "connected to amqp://me:***@host/"
    assert connected["logger"] == "library"
    assert connected["port"] == "5672"
    assert connected["at"] == "http://a:***@b"
    assert failed["level"] == "error"
    assert "ValueError: broken" in failed["traceback"]


@pytest.mark.parametrize("module", ["datamill", "datamill.logs", "datamill_producer.cli"])
def test_nobody_waits_for_what_only_services_need(module: str) -> None:
    look = (
        f"import sys, {module}; print('structlog' in sys.modules, 'opentelemetry' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]
