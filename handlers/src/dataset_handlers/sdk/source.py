"""Source items: what a handler reads, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataset_handlers.sdk.errors import BadItemError

_PROBLEM = "problem"


@dataclass(frozen=True, init=False)
class SourceItem:
    """One raw thing and its annotation, named and found the same on every machine.

    `files`: role → path relative to the raw folder, with "/". `meta`: whatever else the handler
    wants to know when it makes records; JSON values.
    """

    key: str
    files: Mapping[str, str]
    meta: Mapping[str, Any]

    def __init__(
        self, key: str, files: Mapping[str, str], meta: Mapping[str, Any] | None = None
    ) -> None:
        # What a frozen dataclass makes for itself takes twice as long: there are millions.
        own = self.__dict__
        own["key"] = key
        own["files"] = files
        own["meta"] = {} if meta is None else meta

    @classmethod
    def bad(cls, key: str, problem: str, meta: Mapping[str, Any] | None = None) -> SourceItem:
        """Return an item of which the listing tells already that it can't be used."""
        return cls(key, {}, {**(meta or {}), _PROBLEM: problem})

    def check(self) -> None:
        """Raise `BadItemError` if the item was bad when it was listed."""
        if _PROBLEM in self.meta:
            raise BadItemError(str(self.meta[_PROBLEM]))
