"""Where a file can be had whose digest is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ProgressCallback = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes that there will be. It may raise."""


@dataclass(frozen=True)
class Source:
    """A file on a server: where it can be had, how large it is, its SHA-256 in hex.

    All addresses mean the same file; they are tried in turn.
    """

    urls: Sequence[str]
    bytes: int
    sha256: str
