"""Checks of an installation: each part brings its own, and `datamill doctor` makes them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamill.settings import Settings

CHECKS_GROUP = "datamill.checks"
"""The entry point group in which distributions offer checks: `part = "module:checks"`, a function
from the settings to its checks."""


class Level(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    """It works; something is worth a look."""
    ERROR = "error"
    """Something will not work."""


@dataclass(frozen=True)
class Found:
    """What a check found: how it is, in a sentence, and what to do about it."""

    level: Level
    says: str
    advice: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"level": self.level.value, "says": self.says, "advice": self.advice}


@dataclass(frozen=True)
class Check:
    """Something that is looked at, in a thread of its own and for a limited time.

    `give_up`: called where it took too long, to end what it has started.
    """

    name: str
    look: Callable[[], Iterable[Found]]
    give_up: Callable[[], None] = lambda: None


Checks = Callable[["Settings"], Iterable[Check]]
"""What an entry point of `CHECKS_GROUP` is."""


def ok(says: str) -> Found:
    """Return that something is as it should be."""
    return Found(Level.OK, says)


def warning(says: str, advice: str) -> Found:
    """Return that something is worth a look."""
    return Found(Level.WARNING, says, advice)


def error(says: str, advice: str) -> Found:
    """Return that something will not work."""
    return Found(Level.ERROR, says, advice)
