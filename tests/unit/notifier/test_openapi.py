"""The description of the HTTP interface: valid, whole, and its examples are what it says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from datamill.errors import DecodeError
from datamill.events import Accepted, Evicted, Failed, Planned, Progress, Reason, ShardDone
from datamill.request import Request
from datamill_notifier.openapi.paths import OPERATIONS, PAGES
from tests.support.openapi import DOCUMENT, misfits
from tests.support.routes import routes

ID = "ab" * 32
METHODS = ("get", "head", "post", "put", "delete", "patch")


def described() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield method.upper(), path, operation


def test_a_validator_accepts_it() -> None:
    errors = [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]
    assert errors == []
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_every_route_is_described() -> None:
    missing = routes(but_of=PAGES) - {(method, path) for method, path, _ in described()}
    assert not missing, (
        f"not described: {', '.join(' '.join(one) for one in sorted(missing))}. "
        "Add a line for each to OPERATIONS of a module in datamill_notifier/openapi (paths.py has "
        "them all), or, where a module has only pages for people, the module to PAGES there."
    )


def test_every_description_is_of_a_route() -> None:
    surplus = {(method, path) for method, path, _ in described()} - routes(but_of=PAGES)
    assert not surplus, f"described, but no route: {sorted(surplus)}"


def test_operations_have_names_of_their_own() -> None:
    names = Counter(operation["operationId"] for _, _, operation in described())
    assert set(names.values()) == {1}, names
    assert len({(one.method, one.path) for one in OPERATIONS}) == len(OPERATIONS)


def test_administration_asks_for_the_token_and_nothing_else_does() -> None:
    for method, path, operation in described():
        asks = operation.get("security") == [{"adminToken": []}]
        assert asks == path.startswith("/admin/"), (method, path)
        assert asks == ("401" in operation["responses"]), (method, path)


def test_parameters_of_paths_are_described() -> None:
    for method, path, operation in described():
        given = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
        assert given == re.findall(r"{(\w+)}", path), (method, path)


def test_problems_are_problems() -> None:
    for method, path, operation in described():
        if method == "HEAD":
            continue
        assert "default" in operation["responses"]
        for status, response in operation["responses"].items():
            if status.startswith("4") or status == "default":
                assert response["content"] == {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }, (method, path, status)


def _examples(part: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(part, list):
        for number, one in enumerate(part):
            yield from _examples(one, f"{place}/{number}")
    if isinstance(part, dict):
        if "schema" in part and "example" in part:
            yield place, part["schema"], part["example"]
        for name, one in part.items():
            yield from _examples(one, f"{place}/{name}")


def test_examples_are_what_they_are_examples_of() -> None:
    found = list(_examples(DOCUMENT["paths"]))
    assert len(found) > 8
    for place, schema, example in found:
        assert misfits(schema, example) == [], place


@pytest.mark.parametrize(
    "event",
    [
        Accepted(dataset_id=ID, state="queued", waiting=1, ahead=0),
        Planned(dataset_id=ID, content_key=ID, config={}, features=None, records=1, shards=1),
        ShardDone(
            dataset_id=ID,
            index=0,
            shards=1,
            split="train",
            url="http://x",
            bytes=1,
            sha256=ID,
            records=1,
        ),
        Progress(
            dataset_id=ID,
            shards_done=0,
            shards=1,
            records_done=0,
            records_per_sec=0.5,
            secs_left=None,
        ),
        Failed(dataset_id=ID, reason=Reason.TIMEOUT, message="m", retryable=True),
        Evicted(dataset_id=ID, content_key=ID),
    ],
    ids=lambda event: event.event,
)
def test_every_event_fits(event: Any) -> None:
    schema = {"$ref": "#/components/schemas/Event"}
    assert misfits(schema, event.model_dump(mode="json")) == []
    assert misfits(schema, {**event.model_dump(mode="json"), "event": "other"})
    later = {**event.model_dump(mode="json"), "a_later_field": 1}
    assert misfits(schema, later, closed=False) == [], "later versions may add fields"
    assert misfits(schema, later)


@pytest.mark.parametrize(
    ("document", "fits"),
    [
        ({"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {"a": [1]}}, True),
        ({"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {}, "x": 1}, False),
        ({"dataset_name": "Toy", "handler_version": "1.0.0", "dataset_config": {}}, False),
        ({"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": []}, False),
        ({"dataset_name": "toy", "handler_version": "1.0.0"}, False),
    ],
)
def test_a_request_fits_where_it_is_one(document: Any, fits: bool) -> None:
    assert (misfits({"$ref": "#/components/schemas/Request"}, document) == []) == fits
    body = json.dumps(document).encode()
    if fits:
        assert Request.decode(body).model_dump() == document
    else:
        with pytest.raises(DecodeError):
            Request.decode(body)
