"""Comparing what is answered with what the description says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from datamill_notifier.openapi.document import description
from tests.support.notifier import Answer

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


def check(answer: Answer, method: str, path: str) -> None:
    """Raise where an answer is not as the description says."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(answer.status) in responses, f"{method} {path} answers {answer.status}: {responses}"
    said = responses[str(answer.status)]
    media_type = answer.headers.get("Content-Type", "").split(";")[0]
    fields = set(said.get("headers", {}))
    if (path, media_type, answer.status) == ("/datasets/{name}", "application/json", 200):
        fields = {"Cache-Control"}  # the others are those of an archive
    missing = sorted(name for name in fields if name not in answer.headers)
    assert not missing, f"{method} {path} answers {answer.status} without {missing}"
    content = said.get("content", {})
    if method == "HEAD" or not content:
        assert answer.body == b""
        return
    assert media_type in content, f"{method} {path} answers in {media_type}"
    if media_type == "application/json" and "manifest" not in path:
        wrong = misfits(content[media_type]["schema"], json.loads(answer.body))
        assert not wrong, (
            f"{method} {path}: {wrong}; schemas are in datamill_notifier/openapi/schemas.py"
        )


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _closed(value) for name, value in schema.items()}
    if schema.get("type") in ("object", ["object", "null"]) and "properties" in schema:
        inner.setdefault("additionalProperties", False)
    return inner
