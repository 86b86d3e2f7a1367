"""Comparing what is answered with what the description says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from datamill_notifier.openapi.document import description

DOCUMENT = description("http://data.example:8080")


def misfits(schema: Mapping[str, Any], value: Any, *, closed: bool = True) -> list[str]:
    """Return where a value is not as a schema says; `closed`: a field that it lacks is one."""
    components = DOCUMENT["components"]
    whole = {**schema, "components": components}
    validator = Draft202012Validator(_closed(whole) if closed else whole)
    return [
        f"{'.'.join(map(str, error.absolute_path)) or 'the answer'}: {error.message[:300]}"
        for error in validator.iter_errors(value)
    ]


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _closed(value) for name, value in schema.items()}
    if schema.get("type") in ("object", ["object", "null"]) and "properties" in schema:
        inner.setdefault("additionalProperties", False)
    return inner
