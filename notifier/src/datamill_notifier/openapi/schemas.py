"""Schemas of datasets and their states, and the words that schemas are written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datamill.request import DATASET_ID_PATTERN
from datamill_builder.catalog.views import PublicState
from datamill_notifier.openapi.operations import Document, ref


def text(says: str = "", **more: Any) -> Document:
    """Return the schema of a text."""
    return _schema("string", says, more)


def count(says: str = "", **more: Any) -> Document:
    """Return the schema of a number of things."""
    return _schema("integer", says, {"minimum": 0, **more})


def amount(says: str = "", **more: Any) -> Document:
    """Return the schema of a measure, which may have a fraction."""
    return _schema("number", says, {"minimum": 0, **more})


def flag(says: str = "") -> Document:
    """Return the schema of yes or no."""
    return _schema("boolean", says, {})


def time(says: str = "") -> Document:
    """Return the schema of a time."""
    return text(says, format="date-time")


def many(item: Document, says: str = "", **more: Any) -> Document:
    """Return the schema of a list."""
    return _schema("array", says, {"items": item, **more})


def record(
    says: str = "", optional: Mapping[str, Document] | None = None, **fields: Document
) -> Document:
    """Return the schema of an object that has all these fields; later versions may add some."""
    properties = {**fields, **(optional or {})}
    return _schema("object", says, {"properties": properties, "required": list(fields)})


def maybe(schema: Document) -> Document:
    """Return a schema that takes null, too."""
    if "$ref" in schema:
        return {"oneOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _schema(kind: str, says: str, more: Document) -> Document:
    return {"type": kind, **({"description": says} if says else {}), **more}


def portable(pattern: str) -> str:
    r"""Return a pattern as JSON Schema has it (ECMA-262): `$` for Python's `\Z`."""
    return pattern.replace(r"\Z", "$")


DATASET_ID = text("SHA-256 of the request's canonical JSON.", pattern=portable(DATASET_ID_PATTERN))
DIGEST = text("SHA-256, lower-case hex.", pattern=portable(DATASET_ID_PATTERN))
CONFIG: Document = {"type": "object", "description": "The dataset's config, as it was asked for."}
STATE = text("Where it stands.", enum=[state.value for state in PublicState])

SUMMARY: dict[str, Document] = {
    "dataset_id": DATASET_ID,
    "dataset_name": text(),
    "handler_version": text(),
    "dataset_config": CONFIG,
    "state": STATE,
    "content_key": maybe(text("What it is made of; null until that is known.")),
    "archive": maybe(text("The archive's file name.")),
    "bytes": maybe(count("The archive's size.")),
    "records": maybe(count()),
    "shards": maybe(count("How many there will be; null until it is planned.")),
    "shards_done": count(),
    "records_done": count(),
    "waiting": count("Who waits for it."),
    "ahead": count("Builds that come first."),
    "requests": count("How often it was asked for, ever."),
    "created_at": time("When it was asked for first."),
    "ended_at": maybe(time("When it was ready, or failed.")),
}

USE: dict[str, Document] = {
    "downloads": count("Of its content, whatever ids it is asked for by."),
    "downloaded_bytes": count(),
    "used_at": maybe(time("When it was asked for or fetched last.")),
    "pinned_at": maybe(time("Since when it is never evicted.")),
}

SHARD = record(
    "A shard that can be fetched.",
    index=count(),
    split=text(),
    records=count(),
    bytes=count(),
    sha256=DIGEST,
    url=text(format="uri"),
)

STATE_OF_DATASET: dict[str, Document] = SUMMARY | {
    "note": maybe(text("What it waits for that is nobody's turn: room on a disk.")),
    "waiting_clients": many(text(), "Who waits, where that was said.", maxItems=20),
    "progress": maybe(ref("Progress")),
    "usage": ref("Usage"),
    "near": maybe(ref("Near")),
    "ready": maybe(ref("Ready")),
    "failed": maybe(ref("Failed")),
    "planned": maybe(ref("Planned")),
    "shard_list": many(SHARD),
}

OWN: dict[str, Document] = {
    "Summary": record("A dataset in a list.", **SUMMARY, **USE),
    "State": record("Everything about a dataset.", **STATE_OF_DATASET),
    "Taken": record(
        "A request that the broker has.",
        dataset_id=DATASET_ID,
        url=text("Where its state is.", format="uri"),
        message_id=text(),
        near=maybe(ref("Near")),
    ),
    "LoggedRequest": record(
        "An accepted request.",
        message_id=text(),
        accepted_at=time(),
        dataset_id=DATASET_ID,
        dataset_name=text(),
        handler_version=text(),
        dataset_config=CONFIG,
        state=STATE,
        client=maybe(text("Who asked, where that was said.", maxLength=128)),
    ),
    "Cancelled": record(dataset_id=DATASET_ID, state=STATE),
    "Health": record(alive=flag()),
    "Readiness": record(
        "Which parts work.",
        {"reason": text("What is wrong with a disk.")},
        ready=flag("Whether all do."),
        catalog=flag("It takes changes."),
        store=flag("It can be read."),
        broker=flag("Events arrive."),
        disk=flag("There is room on it."),
    ),
    "Problem": record(
        "What can't be answered.",
        error=text("A word for programs.", examples=["not_found", "invalid_request"]),
        message=text("A sentence for people."),
    ),
}


ANY_OF_TWO = record(
    "Two to compare, each a dataset id or a request.",
    a={"oneOf": [DATASET_ID, ref("Request")]},
    b={"oneOf": [DATASET_ID, ref("Request")]},
)
