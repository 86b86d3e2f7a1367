"""A package, put through all demands in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datamill.errors import NothingFound
from datamill.settings import Settings
from datamill_builder.handler_check.classic import classic_demands
from datamill_builder.handler_check.config import config_demands
from datamill_builder.handler_check.demand import Demand, Finding, findings
from datamill_builder.handler_check.package import Package
from datamill_builder.handler_check.sharded import sharded_demands
from datamill_builder.handler_check.trial import Trial
from datamill_builder.handlers.sources import sources_of


def check(
    path: Path,
    folder: Path,
    settings: Settings,
    *,
    only: Iterable[str] = (),
    raw: Path | None = None,
    config: dict[str, Any] | None = None,
) -> Iterator[Finding]:
    """Yield what is found about a package (a folder or a wheel), demand by demand.

    `folder`: where it is built and installed. `only`: the handlers to look at; all by default.
    `raw`: their raw folder; the one that a request would read by default. Raises `NothingFound`
    where the package has no such handler.
    """
    package = Package(path, folder, list(sources_of(settings).values()))
    try:
        yield from findings(package.demands())
        if package.environment is None:
            return
        for handler in _chosen(package, only):
            trial = Trial(
                package.environment_of(handler), package.python, settings, folder, raw, config or {}
            )
            try:
                yield from findings(_demands(trial), handler)
            finally:
                trial.close()
    finally:
        package.close()


def _demands(trial: Trial) -> Iterator[Demand]:
    """Yield what is demanded of a handler; which it is, is known once the first ones are met."""
    yield from config_demands(trial)
    classic = trial.description is not None and trial.description.mode == "classic"
    yield from classic_demands(trial) if classic else sharded_demands(trial)


def _chosen(package: Package, only: Iterable[str]) -> list[str]:
    handlers = package.info.handlers
    for name in only:
        if name not in handlers:
            raise NothingFound(
                f"the package has no handler {name}; there are: {', '.join(sorted(handlers))}"
            )
    return sorted(set(only) or handlers)
