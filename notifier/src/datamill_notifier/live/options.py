"""Options of datasets: which were asked for, which are defaults, which differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row


class _Unknown:
    """No value: every dataset that is known says this option itself."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True)
class Option:
    """One option of a dataset. `value`: in the resolved config, where there is one."""

    name: str
    value: Any
    default: Any
    """`UNKNOWN` where nobody has left it out yet."""
    given: bool
    """Whether the request says it."""

    @property
    def changed(self) -> bool:
        """Whether it is, as far as is known, another than the default."""
        return self.given and (self.default is UNKNOWN or self.default != self.value)

    @property
    def default_known(self) -> bool:
        """Whether the default is known."""
        return self.default is not UNKNOWN


@dataclass(frozen=True)
class Difference:
    """One value of two datasets; `UNKNOWN` where one has none."""

    name: str
    ours: Any
    theirs: Any

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return bool(self.ours != self.theirs)


def resolved_config(recipe: str | None) -> dict[str, Any] | None:
    """Return the resolved config that a build's recipe holds; None where there is none."""
    return None if recipe is None else dict(json.loads(recipe)["config"])


def known_defaults(rows: Iterable[Row[Any]], handler_version: str) -> dict[str, Any]:
    """Return the defaults of a handler version, as far as datasets of the same name tell them.

    An option that a request leaves out has its default in the resolved config. `rows` are those
    of `overview.same_name`.
    """
    defaults: dict[str, Any] = {}
    for row in rows:
        resolved = resolved_config(row.recipe)
        if row.handler_version != handler_version or resolved is None:
            continue
        given = json.loads(row.config)
        for name, value in resolved.items():
            if name not in given:
                defaults.setdefault(name, value)
    return defaults


def options(
    given: Mapping[str, Any], resolved: Mapping[str, Any] | None, defaults: Mapping[str, Any]
) -> list[Option]:
    """Return the options of a dataset: what was changed first, then as said, then defaults."""
    values = {**given, **(resolved or {})}
    found = [
        Option(name, value, defaults.get(name, UNKNOWN), name in given)
        for name, value in values.items()
    ]
    return sorted(found, key=lambda option: (not option.changed, not option.given, option.name))


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """Return all values of two mappings side by side, those that differ first."""
    found = [
        Difference(name, ours.get(name, UNKNOWN), theirs.get(name, UNKNOWN))
        for name in sorted({*ours, *theirs})
    ]
    return sorted(found, key=lambda each: not each.differs)
