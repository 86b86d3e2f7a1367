"""A digest over many short texts."""

from __future__ import annotations

import hashlib
import os

_AT_ONCE = 1000


class Told:
    """SHA-256 of texts, one after the other; taken of many at a time, for they are millions.

    File names that are not UTF-8 count as the bytes that they are.
    """

    def __init__(self, begin: bytes = b"") -> None:
        self._digest = hashlib.sha256(begin)
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Add a text."""
        self._texts.append(text)
        if len(self._texts) >= _AT_ONCE:
            self._take()

    def hexdigest(self) -> str:
        """Return the digest of all texts so far."""
        self._take()
        return self._digest.hexdigest()

    def _take(self) -> None:
        self._digest.update(os.fsencode("".join(self._texts)))
        self._texts.clear()
