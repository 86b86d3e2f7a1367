"""A request: everything that describes a dataset, and the dataset id that it hashes to."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from datamill.errors import DecodeError, InvalidRequest

MAX_CONFIG_BYTES = 64 * 1024
"""The largest `dataset_config`, as canonical JSON."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""The largest request message that is read; a larger one is refused unread."""

DATASET_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}\Z"
HANDLER_VERSION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z"
DATASET_ID_PATTERN = r"^[0-9a-f]{64}\Z"

FIELDS = ("dataset_name", "handler_version", "dataset_config")


class Request(BaseModel):
    """`dataset_name`, `handler_version`, `dataset_config`, and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, regex_engine="python-re")

    dataset_name: Annotated[str, Field(pattern=DATASET_NAME_PATTERN)]
    handler_version: Annotated[str, Field(pattern=HANDLER_VERSION_PATTERN)]
    dataset_config: dict[str, JsonValue]

    @field_validator("dataset_config")
    @classmethod
    def _fits(cls, config: dict[str, JsonValue]) -> dict[str, JsonValue]:
        size = len(canonical_json(config))
        if size > MAX_CONFIG_BYTES:
            raise ValueError(f"is {size} bytes as canonical JSON; allowed are {MAX_CONFIG_BYTES}")
        return config

    @classmethod
    def of(cls, dataset_name: str, handler_version: str, dataset_config: Any) -> Request:
        """Return the validated request; raise `InvalidRequest` that names the field at fault."""
        return _validated(
            dict(zip(FIELDS, (dataset_name, handler_version, dataset_config), strict=True))
        )

    @cached_property
    def canonical(self) -> bytes:
        """The RFC 8785 canonical JSON of the three fields."""
        return canonical_json(self.model_dump())

    @cached_property
    def dataset_id(self) -> str:
        """SHA-256 of the canonical JSON, in lower-case hex."""
        return hashlib.sha256(self.canonical).hexdigest()

    def encode(self) -> bytes:
        """Return the message body."""
        return self.canonical

    @classmethod
    def decode(cls, body: bytes) -> Request:
        """Return the request that a message body holds.

        Raises `DecodeError` for whatever is wrong with it: size, encoding, JSON (constants that
        JSON lacks and repeated keys included), fields, types, values.
        """
        document = _parse(body)
        try:
            return _validated(document)
        except InvalidRequest as error:
            raise DecodeError(str(error), body, _id_told_by(document)) from error


def dataset_id(dataset_name: str, handler_version: str, dataset_config: dict[str, Any]) -> str:
    """Return the dataset id of a request without asking for it."""
    return Request.of(dataset_name, handler_version, dataset_config).dataset_id


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 canonical JSON of a value.

    Raises `InvalidRequest` for what JSON cannot hold exactly: NaN, infinities, integers beyond
    2**53 - 1, text that is no Unicode, keys that are no text.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidRequest(f"cannot be written as canonical JSON: {error}") from error


def _validated(document: Any) -> Request:
    try:
        return Request.model_validate(document)
    except ValidationError as error:
        raise InvalidRequest("; ".join(_sentence(e) for e in error.errors()[:3])) from error


def _sentence(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"][:3]) or "the request"
    match error["type"]:
        case "extra_forbidden":
            return f"{field} is not a field of a request; it has {', '.join(FIELDS)}"
        case "missing":
            return f"{field} is missing"
        case "string_pattern_mismatch":
            shown = repr(error["input"])[:80]
            return f"{field}: {shown} is not allowed, it must match {error['ctx']['pattern']}"
        case "value_error":
            return f"{field} {error['ctx']['error']}"
        case "model_type":
            return "a request is a JSON object"
        case _:
            return f"{field}: {error['msg']}"


def _parse(body: bytes) -> Any:
    if len(body) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"is {len(body)} bytes; allowed are {MAX_MESSAGE_BYTES}", body)
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_constant=_no_constant,
            object_pairs_hook=_no_repeated_keys,
        )
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}"[:300], body) from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _no_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice")
    return result


def _id_told_by(document: Any) -> str | None:
    """Return the id that the sender of a refused request computed, where that can be told."""
    if not isinstance(document, dict) or any(field not in document for field in FIELDS):
        return None
    try:
        canonical = canonical_json({field: document[field] for field in FIELDS})
    except InvalidRequest:
        return None
    return hashlib.sha256(canonical).hexdigest()
