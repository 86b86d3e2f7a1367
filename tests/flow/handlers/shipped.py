"""The handlers that the package announces, whichever they are."""

from __future__ import annotations

import tomllib
from importlib import import_module
from typing import Any, NamedTuple

from tests.conftest import REPOSITORY

ENTRY_POINTS = "datamill.handlers"
SMALL = [48, 48]


class Shipped(NamedTuple):
    """`raw`: the folder that it reads, below the raw root."""

    raw: str
    defaults: dict[str, Any]

    @property
    def small(self) -> dict[str, Any]:
        """A config whose records are made fast, where its images have a size of two numbers."""
        return {"image_size": SMALL} if isinstance(self.defaults.get("image_size"), list) else {}


def _shipped() -> dict[str, Shipped]:
    project = tomllib.loads((REPOSITORY / "handlers" / "pyproject.toml").read_text())["project"]
    found = {}
    for name, entry_point in project["entry-points"][ENTRY_POINTS].items():
        module, _, attribute = entry_point.partition(":")
        handler = getattr(import_module(module), attribute)
        found[name] = Shipped(handler.raw_folder or name, handler.config_options())
    return found


SHIPPED = _shipped()
