"""What can not be met is refused with a reason, and stops nobody else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from datamill.archive import read_manifest
from tests.support.builder import Start
from tests.support.listener import Connect
from tests.support.toy import write_items


@pytest.mark.parametrize(
    ("name", "version", "config", "reason", "words"),
    [
        ("toy", "1.0.0", {"repaet": 2}, "invalid_config", ["repaet", "repeat, prefix"]),
        ("toy", "1.0.0", {"repeat": 99}, "invalid_config", ["repeat", "99", "from 1 to 10"]),
        ("toy", "7.7.7", {}, "unknown_handler", ["toy", "7.7.7", "1.0.0"]),
        ("nothing", "1.0.0", {}, "unknown_dataset", ["nothing"]),
        ("toy", "1.0.0", {"prefix": "x" * 70_000}, "invalid_request", ["65536"]),
    ],
)
def test_what_cannot_be_met_is_refused_with_a_reason(
    home: Path,
    start_builder: Start,
    client: Connect,
    name: str,
    version: str,
    config: dict[str, object],
    reason: str,
    words: list[str],
) -> None:
    start_builder(home)
    trainer = client()
    failed = trainer.wait(trainer.ask(name, version, config))
    assert (failed["event"], failed["reason"]) == ("failed", reason)
    assert failed["retryable"] is False
    for word in words:
        assert word in failed["message"]


def test_raw_data_that_is_missing_is_named(
    home: Path, start_builder: Start, client: Connect
) -> None:
    (home / "raw" / "toy" / "items.txt").unlink()
    (home / "raw" / "toy").rmdir()
    (home / "raw" / "other").mkdir()
    start_builder(home)
    trainer = client()
    failed = trainer.wait(trainer.ask("toy"))
    assert failed["reason"] == "unknown_dataset"
    assert "other" in failed["message"]


def test_poison_is_dead_lettered_at_once_and_stops_nobody(
    home: Path, start_builder: Start, client: Connect
) -> None:
    start_builder(home)
    trainer = client()
    poison = [
        b"",
        b"\xff\xfe",
        b"{",
        b'{"dataset_name": NaN}',
        b'{"dataset_name": "toy", "dataset_name": "toy"}',
        b"[" * 100_000,
        b"1" * 5_000,
        b'{"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {"a": "\\ud800"}}',
        b'{"dataset_name": "../etc", "handler_version": "1.0.0", "dataset_config": {}}',
        b'{"dataset_name": "toy", "handler_version": "2", "dataset_config": {}, "shell": "rm"}',
    ]
    for body in poison:
        trainer.send(body)
    assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
    deadline = time.monotonic() + 10
    while trainer.depth("dataset.dead.v1") < len(poison) and time.monotonic() < deadline:
        trainer.listen(0.05)
    assert trainer.depth("dataset.dead.v1") == len(poison)
    answered = [event for event in trainer.events if event.get("reason") == "invalid_request"]
    assert len(answered) == 2, "those whose three fields can be told are answered"
    assert any("shell" in event["message"] for event in answered)


def test_bad_items_are_skipped_and_listed(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", [f"item {n}" for n in range(199)] + ["bad apple"])
    builder = start_builder(home)
    trainer = client()
    ready = trainer.wait(trainer.ask("toy"))
    assert (ready["event"], ready["records"]) == ("ready", 199)
    manifest = read_manifest(builder.archives()[0])
    assert [(item.key, item.reason) for item in manifest.skipped] == [
        ("00199 bad apple", "the line says so")
    ]


def test_too_many_bad_items_fail_the_build(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["bad apple", "bad pear"] + [f"item {n}" for n in range(18)])
    builder = start_builder(home)
    trainer = client()
    failed = trainer.wait(trainer.ask("toy"))
    assert failed["reason"] == "bad_data"
    assert "bad apple" in failed["message"] or "bad pear" in failed["message"]
    assert not builder.archives()


def test_a_handler_that_raises_fails_its_build_with_a_traceback(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["item 1", "crash now"])
    builder = start_builder(home)
    trainer = client()
    failed = trainer.wait(trainer.ask("toy"))
    assert failed["reason"] == "handler_error"
    assert "RuntimeError: the line says crash" in failed["message"]
    assert "toy_handlers.py" in failed["message"]
    assert "writing" in builder.log(), "what a handler prints is in the log"
    write_items(home / "raw", ["item 1"])
    again = trainer.wait(trainer.ask("toy", config={"prefix": "other"}))
    assert again["event"] == "ready", "a failed build stops nobody else"


def test_a_handler_that_is_killed_costs_retries_then_its_build(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["die please"])
    builder = start_builder(home, DATAMILL_SHARD_ATTEMPTS="2")
    trainer = client()
    failed = trainer.wait(trainer.ask("toy"))
    assert failed["reason"] == "handler_error"
    assert "SIGKILL" in failed["message"] and "2 times" in failed["message"]
    assert builder.process is not None and builder.process.poll() is None
