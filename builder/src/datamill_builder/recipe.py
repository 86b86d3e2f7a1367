"""The recipe of a build: all that its records are made from, and the content key over it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from datamill.request import canonical_json
from datamill_builder.handlers.environments import Environment

FORMAT = 2
"""Raised when Datamill itself would make other bytes from the same recipe."""


class Recipe(BaseModel):
    """What a build is made from. Kept in the catalog as JSON."""

    model_config = ConfigDict(frozen=True)

    dataset_name: str
    config: dict[str, Any]
    mode: str
    records_per_shard: int
    raw: str
    raw_version: str
    handler: str
    package: str
    package_version: str
    entry_point: str
    wheel: str
    wheel_sha256: str
    origin: str
    lock: str

    @property
    def content_key(self) -> str:
        """SHA-256 over what decides the bytes; where it comes from does not."""
        decisive = {
            "format": FORMAT,
            "config": self.config,
            "dataset_name": self.dataset_name,
            "package": self.package,
            "package_version": self.package_version,
            "entry_point": self.entry_point,
            "wheel_sha256": self.wheel_sha256,
            "lock": self.lock,
            "raw_version": self.raw_version,
        }
        return hashlib.sha256(canonical_json(decisive)).hexdigest()

    @property
    def environment(self) -> Environment:
        """The handler environment that it is made in."""
        return Environment(
            self.handler,
            self.package,
            self.package_version,
            self.entry_point,
            self.wheel,
            self.wheel_sha256,
            self.origin,
            self.lock,
        )

    @property
    def max_bad_share(self) -> float:
        """The largest share of source items that may be skipped."""
        return float(self.config.get("max_bad_share", 0.01))

    def raw_folder(self, raw_root: Path) -> Path:
        """Return its raw data's folder."""
        return raw_root / self.raw
