"""What a handler may answer. Packages are of strangers: whatever else comes is their error.

Each function returns the answer as the builder uses it, or raises `HandlerFailed` that names the
method at fault.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from datamill.archive import layout
from datamill.errors import InvalidRequest, RecordError, first_line
from datamill.events import Reason
from datamill.request import MAX_CONFIG_BYTES, canonical_json
from datamill_builder.handlers.process import HandlerFailed
from datamill_builder.shard_file import ShardFile, read_shard

MAX_RESOLVED_BYTES = 4 * MAX_CONFIG_BYTES
"""The largest resolved config, as canonical JSON."""

Answer = TypeVar("Answer")
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Option(_Strict):
    """What a handler says of one of its options."""

    name: str
    type: str = "anything"
    """In words, as are `allowed` and `meaning`."""
    default: JsonValue = None
    required: bool = False
    allowed: str = ""
    meaning: str = ""
    limits: dict[str, JsonValue] = Field(default_factory=dict)
    choices: list[JsonValue] = Field(default_factory=list)
    example: JsonValue = None


class Description(_Strict):
    """What a handler is, whatever its config."""

    mode: Literal["sharded", "classic"]
    layout: str | None
    """What its raw folder has to hold, in words."""
    raw: str | None
    """The folder below the raw root, where it is not the one with the dataset's name."""
    options: list[Option]


class _Info(_Strict):
    mode: Literal["sharded", "classic"]
    config: dict[str, JsonValue]
    records_per_shard: Count
    raw: str


class _Features(_Strict):
    features: dict[str, JsonValue]
    labels: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")], list[str]]


class _Counts(_Strict):
    items: Annotated[int, Field(ge=1)]
    records: Count


class Skipped(_Strict):
    """A source item that is not in the shard, and why."""

    key: str
    reason: str


class _Written(_Strict):
    """What `write_shard` says of the file that it wrote."""

    records: Count
    bytes: Count
    sha256: str | None = None
    skipped: list[Skipped]


_PLAN: TypeAdapter[dict[str, _Counts]] = TypeAdapter(
    dict[Annotated[str, Field(pattern=layout.SPLIT_PATTERN.replace(r"\Z", "$"))], _Counts]
)


def description(answer: Any) -> Description:
    """Return what a handler is."""
    return _checked("describe_options()", TypeAdapter(Description), answer)


def info(answer: Any) -> dict[str, Any]:
    """Return how a handler was opened: `mode`, `config`, `records_per_shard`, `raw`."""
    told = _checked("resolved_config()", TypeAdapter(_Info), answer)
    try:
        size = len(canonical_json(told.config))
    except InvalidRequest as error:
        raise _wrong("resolved_config()", first_line(error)) from error
    if size > MAX_RESOLVED_BYTES:
        raise _wrong("resolved_config()", f"{size} bytes; allowed are {MAX_RESOLVED_BYTES}")
    share = told.config.get("max_bad_share", 0.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise _wrong("resolved_config()", "max_bad_share is no number from 0 to 1")
    return told.model_dump()


def features(answer: Any) -> dict[str, Any] | None:
    """Return TensorFlow Datasets' description of a record, and the names of its labels."""
    if answer is None:
        return None
    told = _checked("feature_spec()", TypeAdapter(_Features), answer).model_dump()
    try:
        json.dumps(told, ensure_ascii=False, allow_nan=False).encode()
        described = told["features"]["featuresDict"]["features"].values()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"no features that can be written: {type(error).__name__} {first_line(error)}"
        raise _wrong("feature_spec()", text) from error
    if not all(isinstance(each, dict) for each in described):
        raise _wrong("feature_spec()", "a feature that is no object")
    for feature, names in told["labels"].items():
        for name in names:
            if not _is_line(name):
                said = f"a label of {feature}, {json.dumps(name)}, that is no line of a file"
                raise _wrong("feature_spec()", f"{said}: no line break, no blanks at its ends")
    return told


def _is_line(name: str) -> bool:
    """Whether who reads a file with a name per line, as TensorFlow Datasets does, gets the name."""
    return name == name.strip() and len(name.splitlines()) == 1


def plan(answer: Any) -> dict[str, dict[str, int]]:
    """Return the items and records of each split."""
    counts = _checked("plan_items()", _PLAN, answer)
    if not counts:
        raise HandlerFailed(Reason.BAD_DATA, "the handler found no source items")
    return {split: count.model_dump() for split, count in counts.items()}


def written(answer: Any, file: Path, items: Sequence[Any]) -> tuple[ShardFile, list[Skipped]]:
    """Return what the file holds, which is compared with what is said, and the skipped items."""
    told = _checked("write_shard()", TypeAdapter(_Written), answer)
    if not file.is_file():
        raise _wrong("write_shard()", "that it is done, and there is no file")
    try:
        found = read_shard(file)
    except RecordError as error:
        raise _wrong("write_shard()", f"a file that is no TFRecord file: {error}") from error
    if told.bytes != found.bytes or told.sha256 not in (None, found.sha256):
        raise _wrong("write_shard()", "another size or digest than its file has")
    if told.records != found.records:
        raise _wrong("write_shard()", f"{told.records} records; its file has {found.records}")
    if len(told.skipped) > len(items):
        raise _wrong("write_shard()", f"{len(told.skipped)} skipped items of {len(items)}")
    return found, told.skipped


def paths(answer: Any) -> list[str]:
    """Return the files that `as_tfrecord` says it wrote."""
    return _checked("as_tfrecord()", TypeAdapter(list[str]), answer)


def _checked(method: str, adapter: TypeAdapter[Answer], answer: Any) -> Answer:
    try:
        return adapter.validate_python(answer)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part)[:40] for part in first["loc"][:3])
        said = f"{place}: {first['msg']}" if place else first["msg"]
        raise _wrong(method, said) from error


def _wrong(method: str, said: str) -> HandlerFailed:
    return HandlerFailed(Reason.HANDLER_ERROR, f"{method} returned {said}"[:500])
