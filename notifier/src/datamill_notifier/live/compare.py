"""Why two requests are not one dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from datamill_builder.catalog import differences, overview, views
from datamill_builder.catalog.differences import Difference, Side
from datamill_builder.catalog.views import DatasetView
from datamill_notifier import looking
from datamill_notifier.service import Service

_LOOKED_AT = 30
"""How many datasets of the same name tell what defaults are."""
_SAID = 4


@dataclass(frozen=True)
class Compared:
    """Two datasets side by side."""

    ours: DatasetView
    theirs: DatasetView
    verdict: str
    differences: list[Difference]
    same: list[tuple[str, Any]]
    """Options that are the same, where both are resolved."""


def look(service: Service, ours: str, theirs: str) -> Compared | None:
    """Return two datasets side by side; None where one of them was never asked for. Blocks."""
    with service.catalog.read() as connection:
        first = views.dataset_view(connection, ours)
        second = views.dataset_view(connection, theirs)
        if first is None or second is None:
            return None
        rows = overview.same_name(connection, first.dataset.dataset_name, _LOOKED_AT)
    version = first.dataset.handler_version
    one, other = side_of_view(first), side_of_view(second)
    found = differences.compare(one, other, known_defaults(rows, version))
    return Compared(
        ours=looking.as_stored(service, first),
        theirs=looking.as_stored(service, second),
        verdict=_sentence(found),
        differences=found.differences,
        same=_same(one, other),
    )


def side(row: Row[Any], recipe: str | None) -> Side:
    """Return a row of `datasets` and its build's recipe as one side of a comparison."""
    return Side(
        row.dataset_name,
        row.handler_version,
        json.loads(row.config),
        None if recipe is None else json.loads(recipe),
        row.content_key,
        row.dataset_id,
    )


def side_of_view(view: DatasetView) -> Side:
    """Return the same of a view."""
    return side(view.dataset, view.build.recipe if view.build is not None else None)


def known_defaults(rows: Iterable[Row[Any]], handler_version: str) -> dict[str, Any]:
    """Return the defaults of a handler version, as far as datasets of the same name tell them.

    `rows` are those of `overview.same_name`.
    """
    alike = (row for row in rows if row.handler_version == handler_version)
    return differences.known_defaults(side(row, row.recipe) for row in alike)


def in_short(found: Iterable[Difference]) -> str:
    """Return differences in a line: `jpeg_quality: 95 → 90`."""
    texts = [difference.text for difference in found]
    more = f"; and {len(texts) - _SAID:,} more" if len(texts) > _SAID else ""
    return "; ".join(texts[:_SAID]) + more


def _sentence(found: differences.Comparison) -> str:
    if found.verdict == "different":
        return f"They differ in {in_short(found.differences)}."
    return f"{found.text[0].upper()}{found.text[1:]}."


def _same(one: Side, other: Side) -> list[tuple[str, Any]]:
    if one.recipe is None or other.recipe is None:
        return []
    ours, theirs = one.recipe.get("config", {}), other.recipe.get("config", {})
    # Python says that True is 1; JSON does not.
    return [
        (name, value)
        for name, value in sorted(ours.items())
        if name in theirs and json.dumps(value) == json.dumps(theirs[name])
    ]
