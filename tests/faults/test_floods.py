"""Everybody asks for the same at once (29)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Column, func, select

from datamill_builder.catalog import Catalog, schema
from tests.support.builder import Start
from tests.support.fault import Fault
from tests.support.listener import Connect, PlainClient

CONNECTIONS = 100
LIMIT_SECS = 60.0


class Crowd:
    """Trainers on connections of their own that ask at the same moment and wait."""

    def __init__(self, url: str, requests_each: int) -> None:
        self._url = url
        self._requests_each = requests_each
        self._here = threading.Barrier(CONNECTIONS + 1)
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        self._running = [self._pool.submit(self._ask) for _ in range(CONNECTIONS)]

    def _ask(self) -> tuple[PlainClient, str]:
        trainer = PlainClient(self._url)
        self._here.wait(60)
        ids = {trainer.ask("toy") for _ in range(self._requests_each)}
        (dataset_id,) = ids
        assert trainer.wait(dataset_id, timeout_secs=2 * LIMIT_SECS)["event"] == "ready"
        return trainer, dataset_id

    def ask(self) -> list[PlainClient]:
        """Let them ask; return them once each has its answer."""
        self._here.wait(60)
        answered = [running.result() for running in self._running]
        self._pool.shutdown()
        assert len({dataset_id for _, dataset_id in answered}) == 1
        return [trainer for trainer, _ in answered]


def _count(catalog: Catalog, column: Column[str]) -> int:
    """Return how many rows there are now: each look is a transaction of its own."""
    with catalog.read() as connection:
        return connection.scalar(select(func.count(column))) or 0


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.fault(29, "identical requests from 100 connections at once")
def test_a_crowd_shares_one_build(
    home: Path, start_builder: Start, client: Connect, fault: Fault, count: int
) -> None:
    builder = start_builder(home)
    crowd = Crowd(builder.broker_url, count // CONNECTIONS)
    fault.injected()
    trainers = crowd.ask()
    catalog = builder.catalog
    deadline = time.monotonic() + LIMIT_SECS
    while (logged := _count(catalog, schema.requests.c.message_id)) != count:
        assert time.monotonic() < deadline, logged
        time.sleep(0.02)
    secs = fault.recovered()
    assert _count(catalog, schema.builds.c.content_key) == 1
    assert _count(catalog, schema.datasets.c.dataset_id) == 1
    with catalog.read() as connection:
        attempts = set(connection.scalars(select(schema.tasks.c.attempts)))
        assert attempts == {1}, "nothing was begun twice"
    catalog.close()
    assert secs < LIMIT_SECS
    fault.watch(builder, *trainers)
    others = client()
    assert others.wait(others.ask("toy"))["cached"] is True
    fault.saw(f"{count} requests: each logged and answered, 1 build, {secs:.1f} s")
    for trainer in trainers:
        trainer.close()
