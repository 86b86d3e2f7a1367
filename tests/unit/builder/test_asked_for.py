"""For whom a piece of work is done."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import update

from datamill import logs, tracing
from datamill.trace_context import TraceContext
from datamill_builder.asked_for import WorkFor, request_for
from datamill_builder.catalog import Catalog, CatalogUnavailable
from datamill_builder.catalog.schema import datasets
from datamill_builder.catalog.states import TaskKind
from tests.unit.builder.life import KEY, Life, request

FIRST, SECOND = request(number=1), request(number=2)
TRACE = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def traced(catalog: Catalog, dataset_id: str) -> None:
    with catalog.write() as change:
        row = update(datasets).where(datasets.c.dataset_id == dataset_id)
        change.connection.execute(row.values(trace=TRACE.encode()))


def test_a_dataset_id_is_resolved_for_itself(catalog: Catalog, life: Life) -> None:
    life.accept(FIRST)
    traced(catalog, FIRST.dataset_id)
    with WorkFor(catalog)(life.claim(TaskKind.RESOLVE, FIRST.dataset_id)):
        assert logs.about() == FIRST.dataset_id
        assert tracing.carried() == TRACE
    assert logs.about() is tracing.carried() is None


def test_a_build_is_made_for_the_first_who_asked(catalog: Catalog, life: Life) -> None:
    life.building(FIRST)
    life.accept(SECOND, "m2")
    life.resolve(SECOND.dataset_id)
    claim = life.claim(TaskKind.SHARD, KEY)
    with WorkFor(catalog)(claim):
        assert logs.about() == FIRST.dataset_id
        assert tracing.carried() is None
    traced(catalog, SECOND.dataset_id)
    with WorkFor(catalog)(claim):
        assert (logs.about(), tracing.carried()) == (SECOND.dataset_id, TRACE), "who traces it"


class _Away:
    def read(self) -> None:
        raise CatalogUnavailable("away")


def test_work_goes_on_while_nobody_can_say_for_whom(life: Life) -> None:
    life.building(FIRST)
    away: object = _Away()
    with WorkFor(away)(life.claim(TaskKind.SHARD, KEY)):  # type: ignore[arg-type]
        assert logs.about() is None


def test_moves_name_their_dataset(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    life.accept(FIRST)
    with caplog.at_level(logging.INFO):
        life.resolve(FIRST.dataset_id)
    moved = [record for record in caplog.records if "→ resolved" in record.getMessage()]
    assert [getattr(record, logs.DATASET_ID) for record in moved] == [FIRST.dataset_id]


def test_requests_are_taken_in_for_a_dataset() -> None:
    with request_for(FIRST.dataset_id, TRACE):
        assert (logs.about(), tracing.carried()) == (FIRST.dataset_id, TRACE)
