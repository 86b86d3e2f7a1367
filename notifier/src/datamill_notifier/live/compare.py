"""Why two requests are not one dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from datamill_builder.catalog import differences, views
from datamill_builder.catalog.differences import (
    Difference,
    Side,
    known_defaults,
    same_value,
)
from datamill_builder.catalog.sides import find_side, sides_of_name
from datamill_builder.catalog.views import DatasetView
from datamill_notifier import dataset_states
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
        one, other = find_side(connection, ours), find_side(connection, theirs)
        alike = sides_of_name(connection, first.dataset.dataset_name, _LOOKED_AT)
    assert one is not None and other is not None
    found = differences.compare(one, other, defaults_of(alike, one.handler_version))
    return Compared(
        ours=dataset_states.as_stored(service, first),
        theirs=dataset_states.as_stored(service, second),
        verdict=_sentence(found),
        differences=found.differences,
        same=_same(one, other),
    )


def defaults_of(alike: Iterable[Side], handler_version: str) -> dict[str, Any]:
    """Return the defaults of a handler version, as far as datasets of a name tell them."""
    return known_defaults(each for each in alike if each.handler_version == handler_version)


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
    return [
        (name, value)
        for name, value in sorted(ours.items())
        if name in theirs and same_value(value, theirs[name])
    ]
