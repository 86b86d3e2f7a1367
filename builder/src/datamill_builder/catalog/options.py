"""Options of a dataset: which were asked for, which were changed, which are defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datamill_builder.catalog.differences import same_value


@dataclass(frozen=True)
class Option:
    """One option of a dataset. `value`: in the resolved config, where there is one."""

    name: str
    value: Any
    given: bool
    """Whether the request says it."""
    default: Any = None
    default_known: bool = False
    """Whether some request has left it out, and so told what it is then."""

    @property
    def changed(self) -> bool:
        """Whether it is, as far as is known, another than the default."""
        return self.given and not (self.default_known and same_value(self.default, self.value))


def options(
    given: Mapping[str, Any], resolved: Mapping[str, Any] | None, defaults: Mapping[str, Any]
) -> list[Option]:
    """Return the options of a dataset: what was changed first, then as said, then defaults."""
    values = {**given, **(resolved or {})}
    found = [
        Option(name, value, name in given, defaults.get(name), name in defaults)
        for name, value in values.items()
    ]
    return sorted(found, key=lambda option: (not option.changed, not option.given, option.name))
