"""All schemas: from the models where there are some, else as they are written here."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from datamill.events import Event
from datamill.request import Request
from datamill_notifier.openapi.insight_schemas import INSIGHTS
from datamill_notifier.openapi.operations import Document
from datamill_notifier.openapi.schemas import DATASET_ID, DIGEST, OWN, portable, time

_REF = "#/components/schemas/{model}"


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
    named = {**OWN, **INSIGHTS, **told, "Event": event, **inner, "Request": request}
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
