"""What a running notifier answers is what its description says: statuses, fields, schemas."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from datamill_notifier.openapi.operations import Operation
from datamill_notifier.openapi.paths import OPERATIONS
from tests.support.catalog_steps import Steps
from tests.support.notifier import Answer, NotifierProcess
from tests.support.openapi import DOCUMENT, check, misfits

UNKNOWN = "0" * 64
READ = [one for one in OPERATIONS if one.method == "GET" and one.name != "events"]


@pytest.fixture(scope="module")
def ready(steps: Callable[..., Steps]) -> Steps:
    steps(client="ada").accepted()
    steps().accepted().refused("no such option")
    steps().accepted().resolved().planned().shard_made(0)
    return steps().ready()


def filled(operation: Operation, ready: Steps) -> str:
    values = {"dataset_id": ready.dataset_id, "name": ready.dataset_id, "index": "0"}
    values["prefix"] = ready.dataset_id[:8]
    names = [p["name"] for p in operation.parameters if p["in"] == "path"]
    unknown = [name for name in names if name not in values]
    assert not unknown, f"say in this test what {unknown} of {operation.path} may be"
    return operation.path.format(**values)


def call(
    notifier: NotifierProcess, operation: Operation, path: str, method: str, **headers: str
) -> Answer:
    if operation.admin:
        token = (notifier.home / "admin-token").read_text().strip()
        headers["Authorization"] = f"Bearer {token}"
    return notifier.ask(path, method, headers=headers)


@pytest.mark.parametrize("operation", READ, ids=lambda one: one.name)
def test_what_can_be_read(notifier: NotifierProcess, ready: Steps, operation: Operation) -> None:
    path = filled(operation, ready)
    for method in ("GET", "HEAD") if operation.head else ("GET",):
        answer = call(notifier, operation, path, method)
        assert answer.status in (200, 503), answer
        check(answer, method, operation.path)


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.admin], ids=lambda one: one.name
)
def test_without_the_token(notifier: NotifierProcess, ready: Steps, operation: Operation) -> None:
    answer = notifier.ask(filled(operation, ready), operation.method)
    assert answer.status == 401
    check(answer, operation.method, operation.path)


def test_states(notifier: NotifierProcess, ready: Steps) -> None:
    listed = notifier.ask("/datasets?limit=1000").document
    assert {one["state"] for one in listed} >= {"queued", "building", "ready", "failed"}
    for one in listed:
        answer = notifier.ask(f"/datasets/{one['dataset_id']}")
        check(answer, "GET", "/datasets/{name}")


FILES = {
    "/datasets/{name}": "/datasets/{archive}",
    "/datasets/{dataset_id}/manifest.json": "/datasets/{id}/manifest.json",
    "/datasets/{dataset_id}/preview.jpg": "/datasets/{id}/preview.jpg",
    "/datasets/{dataset_id}/shards/{index}": "/datasets/{id}/shards/1",
}


@pytest.mark.parametrize("path", FILES)
def test_files(notifier: NotifierProcess, ready: Steps, path: str) -> None:
    place = FILES[path].format(archive=ready.archive.name, id=ready.dataset_id)
    whole = notifier.ask(place)
    etag = whole.headers["ETag"]
    for method in ("GET", "HEAD"):
        for status, headers in (
            (200, {}),
            (206, {"Range": "bytes=1-2"}),
            (304, {"If-None-Match": etag}),
            (412, {"If-Match": '"other"'}),
            (416, {"Range": f"bytes={len(whole.body)}-"}),
        ):
            answer = notifier.ask(place, method, headers=headers)
            if method == "HEAD" and status in (206, 416):
                continue  # ranges are GET's (RFC 9110, section 14.2)
            assert answer.status == status, (method, headers)
            check(answer, method, path)
    gone = place.replace(ready.dataset_id, UNKNOWN).replace(ready.content_key, UNKNOWN)
    check(notifier.ask(gone), "GET", path)


def test_what_is_wrong(notifier: NotifierProcess, ready: Steps) -> None:
    for method, path, place, status in (
        ("GET", "/datasets", "/datasets?limit=0", 400),
        ("GET", "/events", "/events?dataset=x", 400),
        ("GET", "/ids/{prefix}", "/ids/xyz", 400),
        ("POST", "/admin/datasets/{dataset_id}/cancel", f"/admin/datasets/{UNKNOWN}/cancel", 404),
        (
            "POST",
            "/admin/datasets/{dataset_id}/cancel",
            f"/admin/datasets/{ready.dataset_id}/cancel",
            409,
        ),
        ("GET", "/admin/requests", "/admin/requests?since=x", 400),
    ):
        answer = notifier.admin(place, method)
        assert answer.status == status, place
        check(answer, method, path)


def test_requests(notifier: NotifierProcess, ready: Steps) -> None:
    for body, headers, status in (
        (b"{", {}, 400),
        (b" " * 2_000_000, {}, 413),
        (ready.request.encode(), {"Origin": "http://evil.test"}, 403),
        (ready.request.encode(), {}, 503),  # there is no broker
    ):
        answer = notifier.ask("/requests", "POST", body, headers)
        assert answer.status == status
        check(answer, "POST", "/requests")


def test_cancel(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    made = steps().accepted()
    answer = notifier.admin(f"/admin/datasets/{made.dataset_id}/cancel", "POST")
    assert answer.status == 200
    check(answer, "POST", "/admin/datasets/{dataset_id}/cancel")


def _told(response: http.client.HTTPResponse, count: int) -> Iterator[Any]:
    while count:
        line = response.readline()
        if line.startswith(b"data: "):
            count -= 1
            yield json.loads(line[6:])


def test_events(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    made = (
        (steps().ready(), ["ready"]),
        (steps().accepted().resolved().planned(), ["accepted", "planned"]),
        (steps().accepted().refused("no"), ["failed"]),
        (steps().ready().evicted(), ["evicted"]),
    )
    for dataset, kinds in made:
        connection = notifier.connect()
        connection.request("GET", f"/events?dataset={dataset.dataset_id}")
        with connection.getresponse() as response:
            media_type = response.headers["Content-Type"].split(";")[0]
            assert media_type in DOCUMENT["paths"]["/events"]["get"]["responses"]["200"]["content"]
            events = list(_told(response, len(kinds)))
        connection.close()
        assert [event["event"] for event in events] == kinds
        for event in events:
            assert misfits({"$ref": "#/components/schemas/Event"}, event) == []


def test_the_description_itself_names_this_server(notifier: NotifierProcess) -> None:
    answer = notifier.ask("/openapi.json")
    assert answer.document == DOCUMENT | {"servers": [{"url": notifier.url}]}
