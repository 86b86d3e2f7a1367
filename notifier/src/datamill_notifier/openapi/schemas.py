"""The schemas of what is sent and answered: from the models where there are some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from datamill.events import Event
from datamill.request import DATASET_ID_PATTERN, Request
from datamill_builder.catalog.views import PublicState
from datamill_notifier.openapi.operations import Document, ref

_REF = "#/components/schemas/{model}"


def text(says: str = "", **more: Any) -> Document:
    """Return the schema of a text."""
    return _schema("string", says, more)


def count(says: str = "", **more: Any) -> Document:
    """Return the schema of a number of things."""
    return _schema("integer", says, {"minimum": 0, **more})


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
    "ready": maybe(ref("Ready")),
    "failed": maybe(ref("Failed")),
    "planned": maybe(ref("Planned")),
    "shard_list": many(SHARD),
}

OWN: dict[str, Document] = {
    "Summary": record("A dataset in a list.", **SUMMARY),
    "State": record("Everything about a dataset.", **STATE_OF_DATASET),
    "Taken": record(
        "A request that the broker has.",
        dataset_id=DATASET_ID,
        url=text("Where its state is.", format="uri"),
        message_id=text(),
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


def schemas() -> dict[str, Document]:
    """Return all schemas by name, ordered."""
    adapter: TypeAdapter[Any] = TypeAdapter(Event)
    generated = adapter.json_schema(mode="serialization", ref_template=_REF)
    events: dict[str, Document] = generated.pop("$defs")
    kinds = {
        schema["properties"]["event"]["const"]: f"#/components/schemas/{name}"
        for name, schema in events.items()
        if "event" in schema.get("properties", {})
    }
    event: Document = {
        "description": "What happens to a dataset. Later versions may add fields, and kinds.",
        "oneOf": [{"$ref": place} for place in kinds.values()],
        "discriminator": {"propertyName": "event", "mapping": kinds},
    }
    request = Request.model_json_schema(ref_template=_REF)
    inner = request.pop("$defs", {})
    told = {name: _told(schema) for name, schema in events.items()}
    named = {**OWN, **told, "Event": event, **inner, "Request": request}
    return {name: _tidied(named[name]) for name in sorted(named)}


def _told(schema: Document) -> Document:
    """Return the schema of a model as it is written: with all fields, defaults filled."""
    if "properties" not in schema:
        return schema
    properties: dict[str, Document] = schema["properties"]
    for name in ("dataset_id", "content_key", "sha256"):
        if name in properties:
            properties[name] = DIGEST if name == "sha256" else {**DATASET_ID, "description": ""}
    if "time" in properties:
        properties["time"] = time()
    return {**schema, "required": list(properties)}


def _tidied(schema: Any) -> Any:
    """Return a schema of pydantic's in the words of OpenAPI: no titles that repeat a name."""
    if isinstance(schema, list):
        return [_tidied(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: portable(value) if name == "pattern" and isinstance(value, str) else _tidied(value)
        for name, value in schema.items()
        if not (name in ("title", "default") and not isinstance(value, dict))
    }
