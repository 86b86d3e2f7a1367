"""What all who work on builds have at hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from datamill.settings import Settings
from datamill_builder.address import PublicAddress
from datamill_builder.catalog import Catalog, PatientChanges, lifecycle
from datamill_builder.catalog.counters import Counters
from datamill_builder.handlers.pool import HandlerPool, Opening
from datamill_builder.recipe import Recipe
from datamill_builder.store import Store


@dataclass(frozen=True)
class Workbench:
    """Shared by the threads of a builder. `changes`: for what was worked out and must not go."""

    settings: Settings
    catalog: Catalog
    changes: PatientChanges
    store: Store
    handlers: HandlerPool
    address: PublicAddress
    counters: Counters = field(default_factory=Counters)

    def recipe(self, content_key: str) -> Recipe:
        """Return what a build that is in the catalog is made from."""
        with self.catalog.read() as connection:
            build = lifecycle.find_build(connection, content_key)
        assert build is not None
        return Recipe.model_validate_json(build.recipe)


def opening_of(recipe: Recipe) -> Opening:
    """Return what a handler process for a recipe is opened with."""
    return Opening(
        recipe.environment, recipe.dataset_name, recipe.config, recipe.raw, recipe.raw_version
    )
