"""The lists of datasets that there are for people: running, queued, finished, failed, evicted.

Every list is cut short: there may be very many datasets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, func, or_, select

from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.catalog.states import BuildState, DatasetState
from datamill_builder.catalog.views import DatasetView, PublicState, public_state, views_of


class Section(StrEnum):
    """The lists that there are; each dataset id is in one of them."""

    RUNNING = "running"
    QUEUED = "queued"
    FINISHED = "finished"
    FAILED = "failed"
    EVICTED = "evicted"


_STATES: dict[Section, tuple[PublicState, ...]] = {
    Section.RUNNING: (PublicState.BUILDING,),
    Section.QUEUED: (PublicState.QUEUED,),
    Section.FINISHED: (PublicState.READY,),
    Section.FAILED: (PublicState.FAILED, PublicState.CANCELLED),
    Section.EVICTED: (PublicState.EVICTED,),
}

_mean = builds.c.content_key == datasets.c.content_key
_ALL = datasets.outerjoin(builds, _mean)
_BUILT = builds.join(datasets, _mean)

_newest_first = (datasets.c.asked_at.desc(), datasets.c.dataset_id)
_oldest_first = (datasets.c.created_at, datasets.c.dataset_id)


class _Which(NamedTuple):
    """A section as columns say it rather than the public state: most of them have an index."""

    rows: FromClause
    condition: ColumnElement[bool]
    order: tuple[ColumnElement[Any], ...] = _newest_first


_of_build = builds.c.state
_of_id = datasets.c.state
_WHICH: dict[Section, _Which] = {
    Section.RUNNING: _Which(
        _BUILT,
        _of_build.in_((BuildState.BUILDING, BuildState.PACKING)),
        (func.coalesce(builds.c.turn, 0), datasets.c.dataset_id),
    ),
    Section.QUEUED: _Which(
        _ALL,
        or_(_of_id == DatasetState.RESOLVING, _of_build == BuildState.PLANNING),
        _oldest_first,
    ),
    Section.FINISHED: _Which(_BUILT, _of_build == BuildState.READY),
    Section.FAILED: _Which(
        _ALL,
        or_(
            _of_id == DatasetState.FAILED,
            _of_build.in_((BuildState.FAILED, BuildState.CANCELLED)),
        ),
    ),
    Section.EVICTED: _Which(_BUILT, _of_build == BuildState.EVICTED),
}


_LEAST_OF_ID = 6
"""Shorter words are in nearly every id by chance."""


def section_counts(connection: Connection, words: Sequence[str] = ()) -> dict[Section, int]:
    """Return how many dataset ids there are in each section that match all words."""
    query = select(public_state, func.count()).select_from(_ALL).where(*_matching(words))
    counted = {row[0]: row[1] for row in connection.execute(query.group_by(public_state))}
    return {
        section: sum(counted.get(state.value, 0) for state in states)
        for section, states in _STATES.items()
    }


def section_views(
    connection: Connection, section: Section, words: Sequence[str] = (), limit: int = 50
) -> list[DatasetView]:
    """Return the dataset ids of a section that match all words.

    What runs is in the order in which it began, what waits in that in which it was first asked
    for; of the rest, what was asked for last comes first.
    """
    which = _WHICH[section]
    query = select(datasets.c.dataset_id).select_from(which.rows).order_by(*which.order)
    query = query.where(which.condition, *_matching(words)).limit(limit)
    return views_of(connection, list(connection.scalars(query)))


def _matching(words: Iterable[str]) -> list[ColumnElement[bool]]:
    table = datasets.c
    said = table.dataset_name + " " + table.handler_version + " " + public_state
    text = func.lower(said + " " + table.config)
    found = []
    for word in map(str.lower, words):
        matches = text.contains(word, autoescape=True)
        if len(word) >= _LEAST_OF_ID:
            matches = or_(matches, table.dataset_id.startswith(word, autoescape=True))
        found.append(matches)
    return found
