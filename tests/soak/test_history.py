"""The judge of long runs is judged: a history that is wrong is found to be wrong."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill_builder.catalog import Catalog
from tests.soak.history import contradictions, record, recorded
from tests.unit.builder.life import KEY, Life, request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def life(path: Path) -> Iterator[Life]:
    catalog = Catalog(f"sqlite:///{path}")
    record(path)
    yield Life(catalog)
    catalog.close()


def _wrong(path: Path) -> list[str]:
    return list(contradictions(recorded(path)))


def _change(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_a_history_that_is_right_is_not_contradicted(life: Life, path: Path) -> None:
    life.ready(request())
    assert len(recorded(path)) > 20
    assert _wrong(path) == []


def test_a_request_without_an_answer_is_found(life: Life, path: Path) -> None:
    dataset_id = life.building(request())
    (wrong,) = _wrong(path)
    assert f"the request for {dataset_id[:12]} was never answered" in wrong


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE builds SET state = 'planning', epoch = epoch + 2", "epoch 1 → 3"),
        ("UPDATE builds SET state = 'cancelled'", "('ready', 'cancelled') is no step of a build"),
        ("UPDATE tasks SET fence = fence - 1", "fence 1 → 0"),
        ("UPDATE tasks SET state = 'leased'", "('done', 'leased') is no step of a task"),
        ("UPDATE datasets SET state = 'failed'", "('resolved', 'failed')"),
    ],
)
def test_a_step_that_nothing_may_take_is_found(
    life: Life, path: Path, statement: str, found: str
) -> None:
    life.ready(request())
    _change(path, statement)
    wrong = _wrong(path)
    assert any(found in words for words in wrong), wrong


def test_an_archive_that_is_published_twice_in_an_epoch_is_found(life: Life, path: Path) -> None:
    life.ready(request())
    _change(path, "UPDATE builds SET state = 'building'")
    _change(path, "UPDATE builds SET state = 'packing'")
    _change(path, "UPDATE builds SET state = 'ready', sha256 = 'other'")
    wrong = _wrong(path)
    assert any("published twice in epoch 1" in words for words in wrong), wrong
    assert any("had different bytes at different times" in words for words in wrong), wrong


def test_ready_that_is_told_of_what_is_not_ready_is_found(life: Life, path: Path) -> None:
    dataset_id = life.building(request())
    event = {"event": "ready", "dataset_id": dataset_id, "content_key": KEY, "sha256": "a" * 64}
    _change(
        path,
        "INSERT INTO outbox(message_id, exchange, routing_key, body, mandatory) "
        "VALUES ('m', 'dataset.events', 'dataset.ready.x', ?, 0)",
        json.dumps(event).encode(),
    )
    (wrong,) = _wrong(path)
    assert "ready was told of a build that is building" in wrong
