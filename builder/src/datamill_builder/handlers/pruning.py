"""Removing handler environments that nobody needs any more.

One stays that is in use by a process of this machine, that a build under way is made in, or that
is of one of the newest releases of its package. What was removed is made again when it is asked
for: its exact packages are in the catalog.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version
from sqlalchemy import select

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds, environments
from datamill_builder.catalog.states import ACTIVE_BUILDS
from datamill_builder.handlers.environments import COMPLETE, Environment, environment_of_row
from datamill_builder.handlers.use import BEING_MADE, IN_USE, alone
from datamill_builder.recipe import Recipe

_KEY = re.compile(r"[0-9a-f]{32}")
_BLOCK_BYTES = 512


@dataclass(frozen=True)
class Pruned:
    """An environment, and what became of it. `kept`: why it stays; None where it went, or would.

    `size_bytes`: what it takes on the disk; `freed_bytes`: what of that is shared with no other
    environment and not with uv's cache.
    """

    key: str
    package: str
    versions: str
    size_bytes: int
    freed_bytes: int
    kept: str | None

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "environment": self.key,
            "package": self.package,
            "version": self.versions,
            "bytes": self.size_bytes,
            "freed_bytes": 0 if self.kept else self.freed_bytes,
            "removed": self.kept is None,
            "kept_because": self.kept,
        }


def prune(folder: Path, catalog: Catalog, keep: int, *, dry_run: bool = False) -> Iterator[Pruned]:
    """Yield every environment that is made in a folder, and remove those that nobody needs.

    `keep`: so many of the newest releases of each package stay.
    """
    known = _known(catalog)
    recent, needed = _recent(known, keep), _needed(catalog)
    for place in sorted(folder.iterdir() if folder.is_dir() else ()):
        if not _KEY.fullmatch(place.name) or not place.is_dir():
            continue
        of_it = known.get(place.name, [])
        why = "it is of a recent release" if place.name in recent else None
        why = "a build needs it" if place.name in needed else why
        size_bytes, freed_bytes = _bytes(place)
        if why is None:
            why = None if _removed(place, dry_run) else "it is in use"
        versions = ", ".join(sorted({each.package_version for each in of_it}))
        package = of_it[0].package if of_it else "(unknown)"
        yield Pruned(place.name, package, versions, size_bytes, freed_bytes, why)


def _removed(place: Path, dry_run: bool) -> bool:
    """Remove an environment, unless somebody uses it; return whether it went, or would go."""
    beside = place.with_name
    with (
        alone(beside(f"{place.name}{IN_USE}")) as unused,
        alone(beside(f"{place.name}{BEING_MADE}")) as unmade,
    ):
        free = unused and unmade
        if free and not dry_run:
            # From here on it is not there, whatever happens to this process.
            (place / COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(place)
            beside(f"{place.name}.lock.txt").unlink(missing_ok=True)
        return free


def _known(catalog: Catalog) -> dict[str, list[Environment]]:
    """Return the releases of each environment, whatever platform they are for."""
    found: dict[str, list[Environment]] = defaultdict(list)
    with catalog.read() as connection:
        for row in connection.execute(select(environments)):
            environment = environment_of_row(row)
            found[environment.key].append(environment)
    return found


def _recent(known: dict[str, list[Environment]], keep: int) -> set[str]:
    """Return the environments of the newest releases of each package on each platform."""
    versions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for releases in known.values():
        for each in releases:
            versions[each.package, each.platform].add(each.package_version)
    newest = {
        package: sorted(its, key=_place, reverse=True)[:keep] for package, its in versions.items()
    }
    return {
        key
        for key, releases in known.items()
        if any(each.package_version in newest[each.package, each.platform] for each in releases)
    }


def _needed(catalog: Catalog) -> set[str]:
    """Return the environments of builds that are under way."""
    query = select(builds.c.recipe).where(builds.c.state.in_(ACTIVE_BUILDS))
    with catalog.read() as connection:
        recipes = [json.loads(text) for text in connection.scalars(query)]
    return {Recipe.model_validate(recipe).environment.key for recipe in recipes}


def _bytes(place: Path) -> tuple[int, int]:
    whole = alone_here = 0
    for file in place.rglob("*"):
        found = file.lstat()
        taken = found.st_blocks * _BLOCK_BYTES
        whole += taken
        alone_here += taken if found.st_nlink == 1 or file.is_dir() else 0
    return whole, alone_here


def _place(version: str) -> tuple[bool, Any]:
    try:
        return True, Version(version)
    except InvalidVersion:
        return False, version
