"""Why two requests are not one dataset."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from datamill_builder.catalog import views
from datamill_builder.catalog.views import DatasetView
from datamill_notifier import looking
from datamill_notifier.live.options import Difference, differences
from datamill_notifier.live.overview import given_options
from datamill_notifier.service import Service

_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)", re.MULTILINE)

_MADE_FROM = {
    "package": "handler package",
    "package_version": "package version",
    "wheel_sha256": "wheel (SHA-256)",
    "raw": "raw data",
    "raw_version": "raw data version",
}


@dataclass(frozen=True)
class Comparison:
    """Two datasets side by side."""

    ours: DatasetView
    theirs: DatasetView
    resolved: bool
    """Whether both configs have their defaults filled; else they are as the requests say them."""
    described: list[Difference]
    """Name and version, and what else decides what the records are."""
    options: list[Difference]
    packages: list[Difference]
    """Only those packages of the handler environments that differ."""

    @property
    def same_data(self) -> bool:
        """Whether both mean one build."""
        key = self.ours.dataset.content_key
        return key is not None and key == self.theirs.dataset.content_key

    @property
    def differing(self) -> list[Difference]:
        """All that differs, but for packages."""
        return [each for each in (*self.described, *self.options) if each.differs]


def look(service: Service, ours: str, theirs: str) -> Comparison | None:
    """Return two datasets side by side; None where one of them was never asked for. Blocks."""
    with service.catalog.read() as connection:
        first = views.dataset_view(connection, ours)
        second = views.dataset_view(connection, theirs)
    if first is None or second is None:
        return None
    return compared(looking.as_stored(service, first), looking.as_stored(service, second))


def compared(ours: DatasetView, theirs: DatasetView) -> Comparison:
    """Return two datasets side by side."""
    recipes = [_recipe(view) for view in (ours, theirs)]
    configs = [recipe.get("config") for recipe in recipes]
    resolved = all(config is not None for config in configs)
    if not resolved:
        configs = [given_options(view) for view in (ours, theirs)]
    said = [_described(view, recipe) for view, recipe in zip((ours, theirs), recipes, strict=True)]
    locks = [dict(_PINNED.findall(recipe.get("lock", ""))) for recipe in recipes]
    return Comparison(
        ours=ours,
        theirs=theirs,
        resolved=resolved,
        described=_in_order(said[0], said[1]),
        options=differences(configs[0] or {}, configs[1] or {}),
        packages=[each for each in differences(locks[0], locks[1]) if each.differs],
    )


def _recipe(view: DatasetView) -> dict[str, Any]:
    return {} if view.build is None else dict(json.loads(view.build.recipe))


def _described(view: DatasetView, recipe: dict[str, Any]) -> dict[str, Any]:
    named = {
        "dataset name": view.dataset.dataset_name,
        "handler version": view.dataset.handler_version,
    }
    made_from = {said: recipe[field] for field, said in _MADE_FROM.items() if field in recipe}
    return named | made_from


def _in_order(ours: dict[str, Any], theirs: dict[str, Any]) -> list[Difference]:
    found = {each.name: each for each in differences(ours, theirs)}
    return [found[name] for name in {**ours, **theirs}]
