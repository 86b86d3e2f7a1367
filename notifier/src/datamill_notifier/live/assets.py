"""The page's own files: style sheet, script, icon. Named with their digest, so kept for good."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_TYPES = {
    "live.css": "text/css",
    "live.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_SHORT = 16


@dataclass(frozen=True)
class Asset:
    """One file. `version` changes with its bytes."""

    body: bytes
    content_type: str
    version: str

    @property
    def etag(self) -> str:
        """The strong entity tag, with its quotes."""
        return f'"{self.version}"'


@cache
def assets() -> Mapping[str, Asset]:
    """Return all files by name."""
    folder = resources.files("datamill_notifier.live") / "static"
    return {name: _asset((folder / name).read_bytes(), kind) for name, kind in _TYPES.items()}


@cache
def version() -> str:
    """Return what changes when any of the files does: pages that are open then load anew."""
    return _digest("".join(asset.version for asset in assets().values()).encode())


def _asset(body: bytes, content_type: str) -> Asset:
    return Asset(body, content_type, _digest(body))


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:_SHORT]
