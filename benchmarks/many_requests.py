"""10,000 identical requests from 100 connections, beside publishing alone.

Bare: as many messages of the same bytes, persistent and confirmed, into a quorum queue that nobody
reads. Ours: until all requests are confirmed, all are in the catalog, and the dataset is ready:
one build.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import pika
from sqlalchemy import func, select

from benchmarks.command import answer
from benchmarks.crowd import Crowd
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.service import service
from datamill import topology
from datamill.request import Request
from datamill_builder.catalog import Catalog, schema
from tests.support.toy import make_toy, write_items

LIMIT = 1.5
CONNECTIONS, EACH = 100, 100
LONGEST_SECS = 300.0


def measure(rounds: int) -> list[Comparison]:
    """Publish, in turns; every round asks for a dataset that was not there."""
    with service() as running:
        make_toy(running.home / "wheels")
        write_items(running.raw, ["one", "two"])
        crowd = Crowd(running.broker_url, CONNECTIONS)
        crowd.connect()
        client = running.client()
        catalog = Catalog(f"sqlite:///{running.home / 'catalog.sqlite'}")
        with pika.BlockingConnection(pika.URLParameters(running.broker_url)) as connection:
            arguments = {"x-queue-type": "quorum"}
            connection.channel().queue_declare("bare", durable=True, arguments=arguments)
        seeds = itertools.count()

        def ask() -> float:
            config: dict[str, Any] = {"prefix": str(next(seeds))}
            request = Request.of("toy", "1.0.0", config)
            with timed() as watch:
                crowd.publish(
                    topology.REQUESTS_EXCHANGE, topology.request_key("toy"), request.encode(), EACH
                )
                event = client.wait(request.dataset_id)
                _until_logged(catalog, request.dataset_id)
            assert event["event"] == "ready"
            return watch.secs

        def publish() -> float:
            body = Request.of("toy", "1.0.0", {"prefix": ""}).encode()
            with timed() as watch:
                crowd.publish("", "bare", body, EACH)
            return watch.secs

        ours, peer = in_turns([ask, publish], rounds)
        with catalog.read() as reading:
            builds = reading.scalar(select(func.count()).select_from(schema.builds))
        assert builds == next(seeds), "one build per dataset"
        catalog.close()
    return [
        Comparison(
            "10,000 requests", "s", ours, "publishing alone", peer, Limit.times_at_most(LIMIT)
        )
    ]


def _until_logged(catalog: Catalog, dataset_id: str) -> None:
    logged = select(func.count()).where(schema.requests.c.dataset_id == dataset_id)
    deadline = time.monotonic() + LONGEST_SECS
    while time.monotonic() < deadline:
        with catalog.read() as connection:
            if connection.scalar(logged) == CONNECTIONS * EACH:
                return
        time.sleep(0.05)
    raise TimeoutError("requests that were confirmed are not in the catalog")


if __name__ == "__main__":
    answer(__doc__, measure)
