"""What the description says of one route, and how that is written in OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]
Document = dict[str, Any]

ADMIN_TOKEN = "adminToken"
"""The name of the security scheme."""

PROBLEMS: Mapping[int, str] = {
    400: "The request can't be understood.",
    401: "Administration asks for the admin token.",
    403: "Pages of other sites can't use it.",
    404: "It isn't there.",
    409: "Nothing can be done in the state that it is in.",
    412: "`If-Match` names another representation.",
    413: "A request has at most 1 MiB.",
    416: "The range lies outside of what there is.",
    503: "It can't be had just now: come back after `Retry-After`.",
}
"""What a status says wherever it is the answer. Any route may answer 500, and 503 while the
notifier stops: that is the `default` of each."""

_HEADERS_OF_PROBLEMS: Mapping[int, Sequence[str]] = {
    401: ("WWW-Authenticate",),
    412: ("ETag",),
    416: ("Content-Range", "Accept-Ranges"),
    503: ("Retry-After",),
}


@dataclass(frozen=True)
class Answer:
    """One answer. `content`: its media types, each with its schema and perhaps an example."""

    says: str
    content: Mapping[str, Document] = field(default_factory=dict)
    headers: Sequence[str] = ()
    """Names of header fields that `document.py` describes."""


@dataclass(frozen=True)
class Operation:
    """One method of one path, as the route is written in the code."""

    method: str
    path: str
    name: str
    """Its `operationId`, which programs that are made from the description call it by."""
    says: str
    answers: Mapping[int, Answer]
    problems: Sequence[int] = ()
    """Statuses in `PROBLEMS` that it may answer besides."""
    parameters: Sequence[Document] = ()
    body: Document | None = None
    """The schema of what is sent, with an example."""
    admin: bool = False
    head: bool = True
    """For GET: whether HEAD is answered, too."""


def json_of(schema: Schema, example: object = None) -> dict[str, Document]:
    """Return the content of an answer in JSON."""
    return media("application/json", schema, example)


def media(media_type: str, schema: Schema, example: object = None) -> dict[str, Document]:
    """Return the content of an answer of a media type."""
    shown = {} if example is None else {"example": example}
    return {media_type: {"schema": dict(schema), **shown}}


def ref(name: str) -> Document:
    """Return the schema of a name, which `schemas.py` has."""
    return {"$ref": f"#/components/schemas/{name}"}


def in_path(name: str, schema: Schema, says: str) -> Document:
    """Return a parameter that is part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": says}


def in_query(name: str, schema: Schema, says: str) -> Document:
    """Return a query parameter, which may be left out."""
    return {"name": name, "in": "query", "schema": schema, "description": says}


def in_header(name: str, says: str) -> Document:
    """Return a header field, which may be left out."""
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": says}


def written(operation: Operation) -> Document:
    """Return an operation as OpenAPI writes it."""
    document: Document = {
        "operationId": operation.name,
        "summary": operation.says,
        "tags": ["administration" if operation.admin else "everybody"],
        "responses": _responses(operation),
    }
    if operation.parameters:
        document["parameters"] = list(operation.parameters)
    if operation.body is not None:
        content = {"application/json": operation.body}
        document["requestBody"] = {"required": True, "content": content}
    if operation.admin:
        document["security"] = [{ADMIN_TOKEN: []}]
    return document


def written_head(operation: Operation) -> Document:
    """Return HEAD beside a GET: the same, without bodies."""
    document = written(operation)
    document["operationId"] += "Head"
    document["summary"] = f"As GET, without the body: {operation.says}"
    for response in document["responses"].values():
        response.pop("content", None)
    return document


def _responses(operation: Operation) -> Document:
    responses = {
        str(status): _response(answer.says, answer.content, answer.headers)
        for status, answer in operation.answers.items()
    }
    problem = json_of(ref("Problem"))
    problems = (*operation.problems, *((401,) if operation.admin else ()))
    for status in sorted(problems):
        headers = _HEADERS_OF_PROBLEMS.get(status, ())
        responses[str(status)] = _response(PROBLEMS[status], problem, headers)
    responses["default"] = _response("It went wrong otherwise.", problem, ())
    return responses


def _response(says: str, content: Mapping[str, Document], headers: Sequence[str]) -> Document:
    document: Document = {"description": says}
    if content:
        document["content"] = dict(content)
    if headers:
        document["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return document
