"""States, lists, shards, administration and numbers over HTTP, without a broker."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datamill.events import Failed, Planned, Ready
from datamill_builder.catalog import Catalog, lifecycle, outbox
from tests.support.catalog_steps import Steps
from tests.support.notifier import NotifierProcess

UNKNOWN = "0" * 64


@pytest.fixture
def state(notifier: NotifierProcess) -> Callable[[Steps], Any]:
    def of(made: Steps) -> Any:
        answer = notifier.ask(f"/datasets/{made.dataset_id}")
        assert answer.status == 200
        return answer.document

    return of


# --- states ---------------------------------------------------------------------------------------


def test_the_life_of_a_dataset(
    notifier: NotifierProcess, steps: Callable[..., Steps], state: Callable[[Steps], Any]
) -> None:
    made = steps(client="ada@gpu7")
    assert notifier.ask(f"/datasets/{made.dataset_id}").status == 404

    now = state(made.accepted())
    assert now["state"] == "queued"
    assert now["waiting_clients"] == ["ada@gpu7"]
    assert now["dataset_config"] == made.config
    assert (now["waiting"], now["requests"]) == (1, 1)
    assert (now["content_key"], now["ready"], now["failed"], now["planned"]) == (None,) * 4
    created = datetime.fromisoformat(now["created_at"])
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)

    now = state(made.resolved())
    assert (now["state"], now["content_key"]) == ("queued", made.content_key)

    now = state(made.planned())
    assert now["state"] == "building"
    assert (now["shards"], now["shards_done"], now["records_done"]) == (2, 0, 0)
    assert Planned.model_validate(now["planned"]).content_key == made.content_key
    assert now["shard_list"] == []

    now = state(made.shard_made(1))
    assert (now["state"], now["shards_done"], now["records_done"]) == ("building", 1, 1)
    shard = made.manifest.shards[1]
    assert now["shard_list"] == [
        {
            "index": 1,
            "split": "train",
            "records": 1,
            "bytes": shard.bytes,
            "sha256": shard.sha256,
            "url": f"{notifier.url}/datasets/{made.dataset_id}/shards/1",
        }
    ]

    now = state(made.shard_made(0))
    assert (now["state"], now["shards_done"]) == ("building", 2)

    now = state(made.packed())
    assert now["state"] == "ready"
    assert (now["waiting"], now["records_done"], len(now["shard_list"])) == (0, 2, 2)
    ready = Ready.model_validate(now["ready"])
    assert ready.url == f"{notifier.url}/datasets/{made.archive.name}"
    assert ready.sha256 == made.archive.sha256
    assert ready.bytes == len(made.archive.body)
    assert notifier.ask(ready.url.removeprefix(notifier.url)).body == made.archive.body

    now = state(made.evicted())
    assert (now["state"], now["ready"], now["shard_list"]) == ("evicted", None, [])


def test_failures(steps: Callable[..., Steps], state: Callable[[Steps], Any]) -> None:
    refused = state(steps().accepted().refused("image_size: must be positive"))
    assert refused["state"] == "failed"
    failed = Failed.model_validate(refused["failed"])
    assert (failed.reason, failed.message) == ("invalid_config", "image_size: must be positive")
    assert not failed.retryable

    broken = state(steps().accepted().resolved().planned().failed("ValueError: in the handler"))
    failed = Failed.model_validate(broken["failed"])
    assert (failed.reason, failed.retryable) == ("handler_error", True)
    assert broken["state"] == "failed"
    assert broken["ended_at"] is not None


def test_two_ids_of_one_content(steps: Callable[..., Steps], state: Callable[[Steps], Any]) -> None:
    first = steps().ready()
    alias = Steps(first.catalog, first.store, {"other": True}, archive=first.archive)
    alias.accepted().resolved()
    one, other = state(first), state(alias)
    assert one["dataset_id"] != other["dataset_id"]
    assert one["ready"]["sha256"] == other["ready"]["sha256"]
    assert other["ready"]["dataset_id"] == alias.dataset_id


def test_lists(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    name = "listed"
    made = [steps(dataset_name=name) for _ in range(3)]
    made[0].ready()
    made[1].accepted().refused("no")
    made[2].accepted()

    def ids(query: str) -> list[str]:
        return [each["dataset_id"] for each in notifier.ask(f"/datasets?{query}").document]

    newest_first = [each.dataset_id for each in reversed(made)]
    assert ids(f"name={name}") == newest_first
    assert ids(f"name={name}&limit=2") == newest_first[:2]
    for word, one in zip(("ready", "failed", "queued"), made, strict=True):
        assert ids(f"name={name}&state={word}") == [one.dataset_id]
    assert ids(f"name={name}&state=evicted") == []
    assert ids("name=nothing-of-this-name") == []
    for query in ("limit=0", "limit=x", "limit=99999999", "state=done"):
        answer = notifier.ask(f"/datasets?{query}")
        assert (answer.status, answer.document["error"]) == (400, "invalid_request"), query


# --- shards ---------------------------------------------------------------------------------------


def test_ids_by_how_they_begin(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    queued, made = steps().accepted(), steps().ready()

    def found(prefix: str) -> Any:
        answer = notifier.ask(f"/ids/{prefix}")
        assert answer.status == 200
        return answer.document

    assert found(queued.dataset_id[:12]) == {
        "datasets": [{"dataset_id": queued.dataset_id, "content_key": None}],
        "contents": [],
    }
    assert found(made.dataset_id[:20])["datasets"] == [
        {"dataset_id": made.dataset_id, "content_key": made.content_key}
    ]
    assert found(made.content_key) == {
        "datasets": [],
        "contents": [{"content_key": made.content_key, "dataset_ids": [made.dataset_id]}],
    }
    for prefix in ("x", "ABCDEF", "0" * 65, "00%2F", "00%0A"):
        assert notifier.ask(f"/ids/{prefix}").status in (400, 404), prefix


def test_shards_while_building_and_after(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().accepted().resolved().planned()
    path = f"/datasets/{made.dataset_id}/shards"
    assert notifier.ask(f"{path}/0").status == 404
    made.shards_made()
    during = [notifier.ask(f"{path}/{shard.index}") for shard in made.manifest.shards]
    held = notifier.connect()
    made.packed()
    assert not list(made.store.shard_path(made.content_key, "x").parent.glob("*"))
    after = [notifier.ask(f"{path}/{shard.index}") for shard in made.manifest.shards]
    for shard, first, second in zip(made.manifest.shards, during, after, strict=True):
        assert first.body == second.body == made.archive.shards[shard.file]
        assert first.headers["ETag"] == second.headers["ETag"] == f'"{shard.sha256}"'
        assert second.headers["Content-Length"] == str(shard.bytes)
    held.close()


def test_parts_of_shards(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    made = steps().ready()
    shard = made.manifest.shards[1]
    content = made.archive.shards[shard.file]
    path = f"/datasets/{made.dataset_id}/shards/1"
    part = notifier.ask(path, headers={"Range": "bytes=-7", "If-Range": f'"{shard.sha256}"'})
    assert (part.status, part.body) == (206, content[-7:])
    assert (
        part.headers["Content-Range"]
        == f"bytes {len(content) - 7}-{len(content) - 1}/{len(content)}"
    )
    assert notifier.ask(path, "HEAD").headers["Content-Length"] == str(len(content))
    # The neighbour in the archive is out of reach.
    assert notifier.ask(path, headers={"Range": f"bytes={len(content)}-"}).status == 416
    assert notifier.ask(path, headers={"Range": "bytes=0-99999999"}).body == content


@pytest.mark.parametrize("number", ["2", "-1", "00", "x", "9999999999", "1.0", "%2e%2e", "0%00"])
def test_shards_of_no_number(
    notifier: NotifierProcess, steps: Callable[..., Steps], number: str
) -> None:
    made = steps().ready()
    assert notifier.ask(f"/datasets/{made.dataset_id}/shards/{number}").status == 404


def test_a_shard_that_was_cut_short_is_not_served(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().accepted().resolved().planned().shard_made(0)
    (file,) = made.store.shard_path(made.content_key, "x").parent.iterdir()
    file.write_bytes(b"short")
    assert notifier.ask(f"/datasets/{made.dataset_id}/shards/0").status == 404


def test_shards_that_are_packed_meanwhile(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    """Whoever fetches a shard while its file goes into the archive gets it, and whole."""
    for _ in range(5):
        made = steps().accepted().resolved().planned().shards_made()
        path = f"/datasets/{made.dataset_id}/shards/0"
        digests: set[tuple[int, str]] = set()
        packed = threading.Event()

        def fetch(path: str = path, packed: threading.Event = packed) -> set[tuple[int, str]]:
            seen = set()
            last_round = False
            while not last_round:
                last_round = packed.is_set()
                answer = notifier.ask(path)
                seen.add((answer.status, hashlib.sha256(answer.body).hexdigest()))
            return seen

        with ThreadPoolExecutor(4) as pool:
            fetching = [pool.submit(fetch) for _ in range(4)]
            made.packed()
            packed.set()
            for each in fetching:
                digests |= each.result()
        assert digests == {(200, made.manifest.shards[0].sha256)}


# --- administration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YWRtaW46"},
        {"Authorization": "Bearer \u00e9"},
    ],
)
@pytest.mark.parametrize("path", ["/admin/requests", "/admin/unknown", "/%61dmin/requests"])
def test_nobody_without_the_token(
    notifier: NotifierProcess, path: str, headers: dict[str, str]
) -> None:
    answer = notifier.ask(path, headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.document["error"] == "unauthorized"


def test_cancel(
    notifier: NotifierProcess,
    steps: Callable[..., Steps],
    state: Callable[[Steps], Any],
    catalog: Catalog,
) -> None:
    building, queued = steps().accepted().resolved().planned(), steps().accepted()
    for made in (building, queued):
        path = f"/admin/datasets/{made.dataset_id}/cancel"
        assert notifier.ask(path, "POST").status == 401
        answer = notifier.admin(path, "POST")
        assert (answer.status, answer.document["state"]) == (200, "cancelled")
        now = state(made)
        assert (now["state"], now["failed"]["reason"]) == ("cancelled", "cancelled")
        # The builder's relay tells those who wait.
        with catalog.read() as connection:
            keys = [message.routing_key for message in outbox.unsent(connection)]
        assert f"dataset.failed.{made.dataset_id}" in keys
        again = notifier.admin(path, "POST")
        assert (again.status, again.document["error"]) == (409, "conflict")
    assert notifier.admin(f"/admin/datasets/{UNKNOWN}/cancel", "POST").status == 404
    assert notifier.admin("/admin/datasets/x/cancel", "POST").status == 404
    assert (
        notifier.admin(f"/admin/datasets/{steps().ready().dataset_id}/cancel", "POST").status == 409
    )


def test_the_log_of_requests(
    notifier: NotifierProcess, steps: Callable[..., Steps], catalog: Catalog
) -> None:
    name = "logged"
    ready, failed = steps(dataset_name=name).ready(), steps(dataset_name=name)
    failed.accepted().refused("no")
    with catalog.write() as change:
        lifecycle.log_requests(change, ["asked-again"], ready.dataset_id, ["ada@gpu7"])

    def log(query: str) -> list[Any]:
        answer = notifier.admin(f"/admin/requests?dataset_name={name}&{query}")
        assert answer.status == 200, answer.body
        return list(answer.document)

    everything = log("")
    assert [each["dataset_id"] for each in everything] == [
        ready.dataset_id,
        failed.dataset_id,
        ready.dataset_id,
    ]
    last = everything[-1]
    assert last == {
        "message_id": "asked-again",
        "accepted_at": last["accepted_at"],
        "dataset_id": ready.dataset_id,
        "dataset_name": name,
        "handler_version": "1.0.0",
        "dataset_config": ready.config,
        "state": "ready",
        "client": "ada@gpu7",
    }
    assert everything[0]["client"] is None
    assert log("limit=1") == [last]
    assert [each["state"] for each in log("failed=1")] == ["failed"]
    assert len(log(f"dataset_id={ready.dataset_id}")) == 2
    second = everything[1]["accepted_at"]
    assert log(f"since={second}") == everything[1:] or everything[0]["accepted_at"] == second
    assert log("since=2999-01-01T00:00:00Z") == []
    assert log("until=2999-01-01") == everything
    assert log("until=1000000000.5") == []
    for query in ("since=yesterday", "failed=yes", "limit=-1"):
        assert notifier.admin(f"/admin/requests?{query}").status == 400, query


# --- numbers, health ------------------------------------------------------------------------------


def test_health(notifier: NotifierProcess) -> None:
    assert notifier.ask("/healthz").status == 200
    ready = notifier.ask("/readyz")
    assert ready.status == 503
    parts = {"catalog": True, "store": True, "broker": False, "disk": True}
    assert ready.document == {"ready": False, **parts}


def test_a_locked_catalog_is_not_ready(notifier: NotifierProcess) -> None:
    catalog = notifier.home / "catalog.sqlite"
    with closing(sqlite3.connect(catalog, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        locked = notifier.ask("/readyz")
        assert (locked.status, locked.document["catalog"]) == (503, False)
        assert notifier.ask("/healthz").status == 200
        other.execute("ROLLBACK")
    assert notifier.ask("/readyz").document["catalog"] is True


def test_a_catalog_that_is_gone_is_not_ready(notifier: NotifierProcess) -> None:
    catalog = notifier.home / "catalog.sqlite"
    aside = catalog.rename(catalog.with_suffix(".aside"))
    assert notifier.ask("/readyz").document["catalog"] is False
    assert not catalog.exists(), "and no empty one is made"
    aside.rename(catalog)
    assert notifier.ask("/readyz").document["catalog"] is True


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "JSON object"),
        (b'{"dataset_name": "x", "handler_version": "1"}', "dataset_config is missing"),
        (b'{"dataset_name": "../x", "handler_version": "1", "dataset_config": {}}', "dataset_name"),
        (
            b'{"dataset_name": "x", "handler_version": "1", "dataset_config": {}, "a": 1}',
            "a is not",
        ),
        (b'{"dataset_name": "x", "handler_version": "1", "dataset_config": {"a": NaN}}', "NaN"),
        (b"\xff\xfe", "JSON"),
        (b'{"a":' * 5000, "JSON"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(
    notifier: NotifierProcess, body: bytes, says: str
) -> None:
    answer = notifier.ask("/requests", "POST", body)
    assert answer.status == 400
    assert answer.document["error"] == "invalid_request"
    assert says in answer.document["message"]


def test_a_request_that_is_too_large(notifier: NotifierProcess) -> None:
    big = json.dumps({"dataset_name": "x" * 2**20, "handler_version": "1", "dataset_config": {}})
    answer = notifier.ask("/requests", "POST", big.encode())
    assert answer.status == 413
    assert answer.document["error"] == "too_large"


def test_a_compressed_request_is_not_blown_up(notifier: NotifierProcess) -> None:
    answer = notifier.ask("/requests", "POST", b"\x1f\x8b", {"Content-Encoding": "gzip"})
    assert answer.status == 400


def test_headers_without_end_are_refused(notifier: NotifierProcess) -> None:
    for headers in ({"X-Long": "a" * 20_000}, {f"X-{n}": "a" for n in range(1000)}):
        assert notifier.ask("/healthz", headers=headers).status == 400
    assert notifier.ask("/healthz").status == 200


def test_without_a_broker_requests_are_put_off(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    answer = notifier.ask("/requests", "POST", steps().request.encode())
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "127.0.0.1:1" in answer.document["message"]
    assert "nothing@" not in answer.body.decode()
