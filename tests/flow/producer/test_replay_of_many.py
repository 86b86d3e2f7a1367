"""A thousand logged requests, published again: what became of each."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select

import datamill
from datamill.request import canonical_json
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds, datasets, requests
from datamill_producer.rabbitmq import PrivateNode
from tests.support.up import UpProcess

VERSION = "1.0.0"
THERE, REFUSED, LATE = 960, 25, 15
"""So many are ready, can never be, and failed once but can be built now."""
AGO_SECS = 3600.0


def test_a_thousand_requests_and_what_became_of_each(
    start_up: Callable[..., UpProcess], home: Path, node: PrivateNode
) -> None:
    service = start_up(DATAMILL_BROKER_URL=node.add_vhost("many")).start()
    try:
        real, _ = service.said("request", "toy", VERSION, "-o", "prefix=many", "--wait").split()
        expected = logged(home, real)
        began = time.monotonic()
        done = service.command("replay", "--until", "30m", "--wait", "--timeout", "100", "--json")
        took_secs = time.monotonic() - began
        assert done.returncode == 3, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert {line["dataset_id"]: outcome(line) for line in lines} == expected
        assert Counter(expected.values()) == {
            "ready, there": THERE,
            "failed, invalid_config": REFUSED,
            "ready, built": LATE,
        }
        assert done.stderr.splitlines()[-1] == (
            f"{len(expected)} published: {THERE + LATE} ready ({THERE} were there), "
            f"{REFUSED} failed"
        )
        assert took_secs < 60.0
        counted = count(home)
        assert counted == {"builds": 1 + LATE, "requests": 1 + 2 * len(expected)}
    finally:
        service.stop()
        node.delete_vhost("many")


def outcome(line: dict[str, Any]) -> str:
    if line["outcome"] == "failed":
        return f"failed, {line['reason']}"
    return f"{line['outcome']}, {'there' if line.get('cached') else 'built'}"


def logged(home: Path, real: str) -> dict[str, str]:
    """Write requests of an hour ago into the catalog; return what each will come to, by id.

    Those that are ready are further ids of the one that was really built.
    """
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    with catalog.read() as connection:
        its = datasets.c.dataset_id == real
        built = connection.execute(select(datasets).where(its)).one()
    ready = {"state": "resolved", "content_key": built.content_key, "raw_marks": built.raw_marks}
    failed = {"state": "failed", "message": "so it was", "retryable": True, "reason": "internal"}
    failed["failed_at"] = time.time() - AGO_SECS
    plans: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        *(("ready, there", {"prefix": f"many {n}"}, ready) for n in range(THERE)),
        *(
            ("failed, invalid_config", {"repeat": 0, "max_items": n}, failed)
            for n in range(REFUSED)
        ),
        *(("ready, built", {"prefix": f"late {n}", "max_items": 2}, failed) for n in range(LATE)),
    ]
    expected = {}
    with catalog.write() as change:
        for number, (comes_to, config, state) in enumerate(plans):
            dataset_id = datamill.dataset_id("toy", VERSION, config)
            expected[dataset_id] = comes_to
            at = time.time() - AGO_SECS + number / 1000
            row = {
                "dataset_id": dataset_id,
                "dataset_name": "toy",
                "handler_version": VERSION,
                "config": canonical_json(config).decode(),
                "waiting": 0,
                "created_at": at,
                "asked_at": at,
            }
            change.connection.execute(insert(datasets), row | state)
            log = {"message_id": str(uuid.uuid4()), "dataset_id": dataset_id, "accepted_at": at}
            change.connection.execute(insert(requests), log)
    catalog.close()
    assert len(expected) == THERE + REFUSED + LATE == 1000
    return expected


def count(home: Path) -> dict[str, int]:
    """Return how many builds and accepted requests the catalog has."""
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    with catalog.read() as connection:
        found = {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (builds, requests)
        }
    catalog.close()
    return found
