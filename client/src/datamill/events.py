"""Events: what happens to a dataset, as messages on the events exchange and as JSON over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from datamill.errors import DecodeError


class Reason(StrEnum):
    """Why a dataset will not come."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CONFIG = "invalid_config"
    UNKNOWN_HANDLER = "unknown_handler"
    UNKNOWN_DATASET = "unknown_dataset"
    HANDLER_ERROR = "handler_error"
    BAD_DATA = "bad_data"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


def now() -> str:
    """Return the time as events write it: RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    final: ClassVar[bool] = False
    """Whether those who wait for the dataset have their answer."""

    event: str
    dataset_id: str
    time: str = Field(default_factory=now)

    @property
    def routing_key(self) -> str:
        """`dataset.<event>.<dataset id>`."""
        return f"dataset.{self.event}.{self.dataset_id}"

    def encode(self) -> bytes:
        """Return the message body."""
        return self.model_dump_json().encode()


class Accepted(_Event):
    """The request was taken. `waiting`: who waits for it; `ahead`: builds that come first."""

    event: Literal["accepted"] = "accepted"
    state: Literal["queued", "building", "ready"]
    waiting: int
    ahead: int


class Planned(_Event):
    """What will be built. `features` is TensorFlow Datasets' features.json.

    `records`, and those of each split in `splits`, are what the plan says: source items that turn
    out to be bad give none.
    """

    event: Literal["planned"] = "planned"
    content_key: str
    config: dict[str, Any]
    features: dict[str, Any] | None
    records: int
    shards: int
    splits: dict[str, int] | None = None


class ShardDone(_Event):
    """One shard can be fetched. `skipped`: source items that it lacks; the manifest says why."""

    event: Literal["shard"] = "shard"
    index: int
    shards: int
    split: str
    url: str
    bytes: int
    sha256: str
    records: int
    skipped: int = 0


class Progress(_Event):
    """How far the build is; at most one a second, may be lost. `secs_left` may be unknown."""

    event: Literal["progress"] = "progress"
    shards_done: int
    shards: int
    records_done: int
    records_per_sec: float
    secs_left: float | None


class Ready(_Event):
    """The archive can be fetched. `cached`: nothing had to be built."""

    final: ClassVar[bool] = True
    event: Literal["ready"] = "ready"
    content_key: str
    archive: str
    url: str
    bytes: int
    sha256: str
    records: int
    shards: int
    cached: bool


class Failed(_Event):
    """The dataset will not come."""

    final: ClassVar[bool] = True
    event: Literal["failed"] = "failed"
    reason: Reason
    message: str
    retryable: bool


class Evicted(_Event):
    """The archive was removed to make room; asking again builds it again."""

    event: Literal["evicted"] = "evicted"
    content_key: str


Event = Accepted | Planned | ShardDone | Progress | Ready | Failed | Evicted
_ANY_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def decode_event(body: bytes | str) -> Event:
    """Return the event that a body holds; fields that this version does not know are left out."""
    try:
        return _ANY_EVENT.validate_json(body)
    except ValidationError as error:
        raw = body if isinstance(body, bytes) else body.encode()
        raise DecodeError(f"is no event: {error.errors()[0]['msg']}", raw) from error
