"""manifest.json: what an archive holds, and what it was made from.

No times, host names or paths of a machine: equal content is equal bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datamill.archive.layout import CONTENT_KEY_PATTERN, SPLIT_PATTERN
from datamill.errors import ArchiveError
from datamill.request import DATASET_NAME_PATTERN, HANDLER_VERSION_PATTERN

Digest = Annotated[str, Field(pattern=CONTENT_KEY_PATTERN)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    # Fields of a later minor version are left out; what can't be read so gets another `format`.
    model_config = ConfigDict(frozen=True, extra="ignore", regex_engine="python-re")


class Provenance(_Part):
    """What the records were made with."""

    handler_package: str
    """The handler's distribution, and its exact version."""
    handler_package_version: str
    wheel_sha256: str
    origin: str
    """Where the release came from: a wheel's file name, a repository and commit, an index."""
    python: str
    """The interpreter of the handler environment, `3.11.4`."""
    packages: dict[str, str]
    """Every package of the handler environment and its exact version."""
    raw_version: str
    """The version of the raw data: a digest."""


class ManifestShard(_Part):
    """One shard. `index` counts over all splits; `file` is the entry's name."""

    index: Count
    split: Annotated[str, Field(pattern=SPLIT_PATTERN)]
    file: str
    records: Count
    bytes: Count
    sha256: Digest


class SkippedItem(_Part):
    """A source item that gave no record, and why."""

    key: str
    reason: str


class Manifest(_Part):
    """What an archive holds."""

    format: Literal[1] = 1
    content_key: Digest
    dataset_name: Annotated[str, Field(pattern=DATASET_NAME_PATTERN)]
    handler_version: Annotated[str, Field(pattern=HANDLER_VERSION_PATTERN)]
    config: dict[str, Any]
    """The resolved config: every option, defaults filled."""
    provenance: Provenance
    records: Count
    labels: dict[str, list[str]] = Field(default_factory=dict)
    """Class names per feature, in the order of their numbers."""
    shards: list[ManifestShard]
    skipped: list[SkippedItem] = Field(default_factory=list)

    def encode(self) -> bytes:
        """Return the entry's bytes: the same for the same content."""
        document = self.model_dump(mode="json")
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"

    @classmethod
    def decode(cls, body: bytes) -> Manifest:
        """Return the manifest that manifest.json holds; raise `ArchiveError` if it is none."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "it"
            raise ArchiveError(f"manifest.json: {place}: {first['msg']}") from error

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, in the order of their first shards."""
        return tuple(dict.fromkeys(shard.split for shard in self.shards))

    def of_split(self, split: str) -> list[ManifestShard]:
        """Return a split's shards, in order."""
        return [shard for shard in self.shards if shard.split == split]
