"""What steps of a build end with: results, and failures."""

from __future__ import annotations

from dataclasses import dataclass

from datamill.events import Reason


def storable(text: str) -> str:
    """Return a text without what databases and JSON refuse: lone surrogates and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


@dataclass(frozen=True)
class Failure:
    """Why something did not come about."""

    reason: Reason
    message: str
    retryable: bool = False

    def __post_init__(self) -> None:
        # A handler's words may hold what no database or JSON takes: surrogates, NUL.
        object.__setattr__(self, "message", storable(self.message))


@dataclass(frozen=True)
class ShardResult:
    """A finished shard."""

    file: str
    records: int
    bytes: int
    sha256: str
    skipped: list[dict[str, str]]
    secs: float


@dataclass(frozen=True)
class PlannedShard:
    """A slice of the plan's file of one split."""

    split: str
    plan_offset: int
    plan_bytes: int


@dataclass(frozen=True)
class ArchiveResult:
    """A finished archive. `offsets`: where each shard's bytes begin in it."""

    name: str
    bytes: int
    sha256: str
    mark: str
    offsets: list[int]
