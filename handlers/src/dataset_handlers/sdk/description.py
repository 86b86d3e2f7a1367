"""What the options of a handler are, told to people: `datamill handlers show` prints it."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

_LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "to {}",
    "exclusiveMaximum": "less than {}",
}
_SPELLED = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
"""How pydantic spells them where a validator of ours comes before its own (2.14)."""
_WORDS = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "object",
    "array": "list",
}
_ANYTHING = "anything"

Schema = dict[str, Any]


def describe_options(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return every option of a model, in its order, as JSON values.

    `name`; `type`, in words; `default`, or `required`; `allowed`, in words; `meaning`, the field's
    docstring. Where there are such: `limits` (as JSON Schema names them), `choices`, and
    `example`, a value worth trying.
    """
    meanings = _docstrings(model)
    return [
        _described(name, field, meanings.get(name, ""))
        for name, field in model.model_fields.items()
    ]


def _described(name: str, field: FieldInfo, meaning: str) -> dict[str, Any]:
    schema = _schema(field)
    limits = _limits(schema)
    choices = _choices(schema)
    words = _words(schema)
    told: dict[str, Any] = {"name": name, "type": words, "meaning": meaning}
    if field.is_required():
        told["required"] = True
    else:
        default = field.get_default(call_default_factory=True, validated_data={})
        told["default"] = to_jsonable_python(default, fallback=repr)
    within = " ".join(_LIMITS[key].format(limits[key]) for key in _LIMITS if key in limits)
    told["allowed"] = field.description or f"{words} {within}".strip()
    if limits:
        told["limits"] = limits
    if choices:
        told["choices"] = choices
    if field.examples:
        told["example"] = to_jsonable_python(field.examples[0], fallback=repr)
    return told


def _schema(field: FieldInfo) -> Schema:
    try:
        return TypeAdapter(field.rebuild_annotation()).json_schema(ref_template="{model}")
    except PydanticUserError:  # a type of somebody's own, of which JSON Schema knows nothing
        return {}


def _parts(schema: Schema) -> Iterator[Schema]:
    """Yield the alternatives of a schema: `null or an integer` has two."""
    for part in schema.get("anyOf", [schema]):
        yield schema.get("$defs", {}).get(part.get("$ref"), part)


def _limits(schema: Schema) -> dict[str, Any]:
    return {
        _SPELLED.get(key, key): value
        for part in _parts(schema)
        for key, value in part.items()
        if _SPELLED.get(key, key) in _LIMITS
    }


def _choices(schema: Schema) -> list[Any]:
    found = []
    for part in _parts(schema):
        each = part.get("items", part) if part.get("type") == "array" else part
        found += each.get("enum", [each["const"]] if "const" in each else [])
    return found


def _words(schema: Schema) -> str:
    return " or ".join(dict.fromkeys(map(_word, _parts(schema)))) or _ANYTHING


def _word(part: Schema) -> str:
    if "const" in part:
        return json.dumps(part["const"], ensure_ascii=False)
    if "enum" in part:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in part["enum"])
    if "prefixItems" in part:
        return f"[{', '.join(map(_words, part['prefixItems']))}]"
    if part.get("type") == "array" and part.get("items"):
        return f"list of {_words(part['items'])}"
    return _WORDS.get(part.get("type", ""), _ANYTHING)


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field, the nearest that there is.

    Pydantic's own `use_attribute_docstrings` puts them into the description, which says here what
    is allowed; and it reads the sources of all models whenever a handler is imported.
    """
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            found |= _own_docstrings(owner)
    return found


def _own_docstrings(owner: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError, SyntaxError):  # made without a source that could be read
        return {}
    (definition,) = tree.body
    if not isinstance(definition, ast.ClassDef):
        return {}
    return dict(_documented(definition.body))


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, after in pairwise(body):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
