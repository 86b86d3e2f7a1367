"""Log lines name what is done, for whomever it is done."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from datamill.logs import About
from datamill_builder.catalog import Catalog, CatalogUnavailable
from datamill_builder.catalog.about import about_build, about_task
from datamill_builder.catalog.holdings import take_away
from datamill_builder.catalog.states import TaskKind
from datamill_builder.store import Store
from tests.support.catalog_steps import Steps
from tests.support.json_log import LogLines

log = logging.getLogger(__name__)

UNKNOWN = "0" * 64


def names(lines: list[dict[str, Any]]) -> list[tuple[str | None, str | None]]:
    return [(line.get("dataset_id"), line.get("content_key")) for line in lines]


def test_a_build_is_named_by_the_id_that_was_asked_for_first(
    catalog: Catalog, store: Store, log_lines: LogLines
) -> None:
    first = Steps(catalog, store, {"number": 1}).accepted()
    Steps(catalog, store, {"number": 2}, archive=first.archive).accepted().resolved()
    first.resolved()
    key = first.content_key
    with about_build(catalog, key):
        log.info("on the build")
    with about_task(catalog, TaskKind.SHARD, key):
        log.info("on a shard")
    with about_task(catalog, TaskKind.RESOLVE, first.dataset_id):
        log.info("on the request")
    with about_build(catalog, UNKNOWN):
        log.info("on what nobody knows")
    lines = [line for line in log_lines() if line["message"].startswith("on ")]
    assert names(lines) == [
        (first.dataset_id, key),
        (first.dataset_id, key),
        (first.dataset_id, None),
        (None, UNKNOWN),
    ]


class Away(Catalog):
    """A catalog that can't be read."""

    def __init__(self) -> None:
        pass

    @contextmanager
    def read(self) -> Iterator[Connection]:
        raise CatalogUnavailable("away")
        yield


def test_by_its_key_alone_where_the_catalog_is_away(log_lines: LogLines) -> None:
    with about_build(Away(), UNKNOWN):
        log.info("on the build")
    assert names(log_lines()) == [(None, UNKNOWN)]


def test_what_goes_to_make_room_for_another_is_named_itself(
    catalog: Catalog, store: Store, log_lines: LogLines
) -> None:
    made = Steps(catalog, store).ready()
    with About("a" * 64, "b" * 64):
        assert take_away(catalog, store, made.content_key, force=True)
    lines = [line for line in log_lines() if "taken away" in line["message"]]
    lines += [line for line in log_lines() if "ready → evicted" in line["message"]]
    assert names(lines) == [(made.dataset_id, made.content_key)] * 2
