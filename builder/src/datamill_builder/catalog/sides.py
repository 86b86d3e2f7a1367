"""Reading what is compared: requests with what their builds are made from."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, select

from datamill.request import Request
from datamill_builder.catalog.differences import Side
from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.catalog.states import BuildState, DatasetState

MOST_LOOKED_AT = 50
"""So many finished datasets of one name are compared with a request, the newest first."""

_SIDES = select(datasets, builds.c.recipe, builds.c.state.label("build_state")).outerjoin(
    builds, builds.c.content_key == datasets.c.content_key
)


def find_side(connection: Connection, dataset_id: str) -> Side | None:
    """Return a dataset id as one side of a comparison; None where it was never asked for."""
    row = connection.execute(_SIDES.where(datasets.c.dataset_id == dataset_id)).first()
    return None if row is None else _side(row)


def side_of(connection: Connection, request: Request) -> Side:
    """Return a request as one side, with what is known of it already."""
    known = find_side(connection, request.dataset_id)
    return known or Side(
        request.dataset_name,
        request.handler_version,
        request.dataset_config,
        dataset_id=request.dataset_id,
    )


def finished_sides(
    connection: Connection, dataset_name: str, at_most: int = MOST_LOOKED_AT
) -> list[Side]:
    """Return the finished datasets of a name, the newest first, each content once."""
    query = (
        _SIDES.where(
            datasets.c.dataset_name == dataset_name,
            datasets.c.state == DatasetState.RESOLVED,
            builds.c.state == BuildState.READY,
        )
        .order_by(builds.c.ended_at.desc(), datasets.c.created_at, datasets.c.dataset_id)
        .limit(at_most)
    )
    found: dict[str, Side] = {}
    for row in connection.execute(query):
        found.setdefault(row.content_key, _side(row))
    return list(found.values())


def sides_of_name(connection: Connection, dataset_name: str, at_most: int) -> list[Side]:
    """Return the datasets of a name, whatever their states; what was asked for last comes first."""
    query = (
        _SIDES.where(datasets.c.dataset_name == dataset_name)
        .order_by(datasets.c.asked_at.desc(), datasets.c.dataset_id)
        .limit(at_most)
    )
    return [_side(row) for row in connection.execute(query)]


def _side(row: Row[Any]) -> Side:
    return Side(
        row.dataset_name,
        row.handler_version,
        json.loads(row.config),
        json.loads(row.recipe) if row.recipe else None,
        row.content_key,
        row.dataset_id,
        row.build_state == BuildState.READY,
    )
