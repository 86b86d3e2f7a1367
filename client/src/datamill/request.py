"""A request: everything that describes a dataset, and the dataset id that it hashes to."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from datamill import topology
from datamill.errors import DecodeError, Flaw, InvalidRequest

MAX_CONFIG_BYTES = 64 * 1024
"""The largest `dataset_config`, as canonical JSON."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""The largest request message that is read; a larger one is refused unread."""

DATASET_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}\Z"
HANDLER_VERSION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z"
DATASET_ID_PATTERN = r"^[0-9a-f]{64}\Z"

_SHOWN_CHARACTERS = 80
_LONG_INTEGER = re.compile(rb"[0-9]{16}")

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
        canonical = canonical_json(config)
        if len(canonical) > MAX_CONFIG_BYTES:
            size = f"is {len(canonical)} bytes as canonical JSON"
            raise ValueError(f"{size}; allowed are {MAX_CONFIG_BYTES}")
        if _LONG_INTEGER.search(canonical):
            # 2.0**53 is written like an integer, which whoever receives it would refuse.
            canonical_json(json.loads(canonical))
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

    @classmethod
    def received(cls, body: bytes, routing_key: str) -> Request:
        """Return the request of a message from the broker; raise `DecodeError`.

        Its routing key must name the same dataset: topic permissions, which say who may ask for
        what, look at the key alone.
        """
        request = cls.decode(body)
        key = topology.request_key(request.dataset_name)
        if routing_key != key:
            message = f"routing key {_shown(routing_key)} is not allowed for this request: {key}"
            raise DecodeError(message, body, request.dataset_id, Flaw.WRONG_KEY)
        return request


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
        why = str(error)
        if len(why) > _SHOWN_CHARACTERS:  # it quotes a number of thousands of digits
            why = f"{why[:20]}…{why[-(_SHOWN_CHARACTERS - 20) :]}"
        raise InvalidRequest(f"cannot be written as canonical JSON: {why}") from error


def _validated(document: Any) -> Request:
    try:
        return Request.model_validate(document)
    except ValidationError as error:
        raise InvalidRequest("; ".join(_sentence(e) for e in error.errors()[:3])) from error


def _sentence(error: Any) -> str:
    # A name that somebody else chose: of any length, with line breaks in it.
    field = _shown(".".join(str(part) for part in error["loc"][:3]), quoted=False) or "the request"
    match error["type"]:
        case "extra_forbidden":
            return f"{field} is not a field of a request; it has {', '.join(FIELDS)}"
        case "missing":
            return f"{field} is missing"
        case "string_pattern_mismatch":
            pattern = error["ctx"]["pattern"]
            return f"{field}: {_shown(error['input'])} is not allowed, it must match {pattern}"
        case "value_error":
            return f"{field} {error['ctx']['error']}"
        case "model_type":
            return "a request is a JSON object"
        case _:
            return f"{field}: {error['msg']}"


def _shown(text: str, *, quoted: bool = True) -> str:
    """Return text of somebody else as part of a line: cut, and nothing in it that is no letter."""
    shown = repr(text[:_SHOWN_CHARACTERS])
    return shown if quoted else shown[1:-1]


def _parse(body: bytes) -> Any:
    if len(body) > MAX_MESSAGE_BYTES:
        message = f"is {len(body)} bytes; allowed are {MAX_MESSAGE_BYTES}"
        raise DecodeError(message, body, flaw=Flaw.TOO_LARGE)
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_constant=_no_constant,
            object_pairs_hook=_no_repeated_keys,
        )
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}"[:300], body, flaw=Flaw.NOT_JSON) from error


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
