"""What differs, what is near, all about one dataset, and the service as a whole, over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, update

from datamill_builder.catalog import Catalog, tasks
from datamill_builder.catalog.schema import builders, builds, downloads
from datamill_builder.catalog.states import TaskKind
from tests.support.catalog_steps import Steps
from tests.support.notifier import Answer, NotifierProcess

Make = Callable[..., Steps]
UNKNOWN = "0" * 64


def post(notifier: NotifierProcess, path: str, document: Any) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return notifier.ask(path, "POST", body, {"Content-Type": "application/json"})


def request(name: str, **config: Any) -> dict[str, Any]:
    return {"dataset_name": name, "handler_version": "1.0.0", "dataset_config": config}


def compared(notifier: NotifierProcess, one: Any, other: Any) -> Any:
    answer = post(notifier, "/compare", {"a": one, "b": other})
    assert answer.status == 200, answer.body
    return answer.document


def told(answer: Any) -> list[str]:
    return [difference["text"] for difference in answer["differences"]]


# --- comparing ---


def test_two_datasets(notifier: NotifierProcess, steps: Make) -> None:
    one, other = steps(dataset_name="two").ready(), steps(dataset_name="two").ready()
    found = compared(notifier, one.dataset_id, other.dataset_id)
    number, next_number = one.config["number"], other.config["number"]
    assert found["verdict"] == "different"
    assert told(found) == [f"number: {number} → {next_number}"]
    assert found["a"]["dataset_config"] == one.config
    assert found["b"]["resolved"] == {**other.config, "seed": 0}
    assert compared(notifier, one.dataset_id, one.dataset_id)["verdict"] == "same_request"


def test_a_dataset_and_a_request_that_nobody_made(notifier: NotifierProcess, steps: Make) -> None:
    made = steps(dataset_name="words").ready()
    number = made.config["number"]
    found = compared(notifier, made.dataset_id, request("words", number=number, seed=7))
    assert told(found) == ["seed: 0 → 7"]
    spelled_out = compared(notifier, made.dataset_id, request("words", number=number, seed=0))
    assert (spelled_out["verdict"], told(spelled_out)) == ("not_known", [])
    assert compared(notifier, made.dataset_id, request("words", number=number))["verdict"] == (
        "same_request"
    )


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (b"{", 400),
        ([], 400),
        ({"a": UNKNOWN}, 400),
        ({"a": UNKNOWN, "b": "short"}, 400),
        ({"a": UNKNOWN, "b": {"dataset_name": "toy"}}, 400),
        ({"a": UNKNOWN, "b": 7}, 400),
        ({"a": UNKNOWN, "b": UNKNOWN}, 404),
    ],
)
def test_what_can_not_be_compared(notifier: NotifierProcess, document: Any, status: int) -> None:
    answer = post(notifier, "/compare", document)
    assert answer.status == status
    assert answer.document["message"]


# --- what is near ---


def near(notifier: NotifierProcess, asked: dict[str, Any]) -> Any:
    answer = post(notifier, "/near", asked)
    assert answer.status == 200, answer.body
    return answer.document["near"]


def test_what_is_near_to_a_new_request(notifier: NotifierProcess, steps: Make) -> None:
    made = steps(dataset_name="near").ready()
    number = made.config["number"]
    found = near(notifier, request("near", number=number + 1000))
    assert found["dataset_id"] == made.dataset_id
    assert found["text"] == (
        f"differs from {made.dataset_id[:12]} only in number: {number} → {number + 1000}"
    )
    same = near(notifier, request("near", number=number, seed=0))
    assert same["text"] == f"is the same data as {made.dataset_id[:12]}"
    assert near(notifier, request("near", number=number)) is None, "it is there itself"
    assert near(notifier, request("nobodys", number=number)) is None
    far = {f"option{n}": n for n in range(9)}
    assert near(notifier, request("near", **far)) is None
    assert post(notifier, "/near", {"dataset_name": "near"}).status == 400


def test_the_state_of_what_is_not_ready_says_what_is_near(
    notifier: NotifierProcess, steps: Make
) -> None:
    made, other = steps(dataset_name="waits").ready(), steps(dataset_name="waits").accepted()
    state = notifier.ask(f"/datasets/{other.dataset_id}").document
    assert state["near"]["dataset_id"] == made.dataset_id
    assert notifier.ask(f"/datasets/{made.dataset_id}").document["near"] is None


def test_who_waits_for_what_is_near_to_nothing_costs_one_look(
    notifier: NotifierProcess, steps: Make
) -> None:
    """Many who ask for the same state again and again are answered from memory."""
    steps(dataset_name="crowd").ready()
    other = steps(dataset_name="crowd").accepted()
    path = f"/datasets/{other.dataset_id}"
    answers: list[int] = []

    def ask() -> None:
        answers.extend(notifier.ask(path).status for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 160
    assert time.monotonic() - began < 20.0


# --- details ---


def test_everything_about_a_dataset(
    notifier: NotifierProcess, steps: Make, catalog: Catalog
) -> None:
    made = steps(dataset_name="details").ready()
    other = steps(dataset_name="details").ready()
    with catalog.write() as change:
        rows = [
            {"content_key": made.content_key, "bytes": count, "started_at": at}
            for count, at in ((100, 50.0), (200, 2e9))
        ]
        change.connection.execute(insert(downloads), rows)
    found = notifier.ask(f"/datasets/{made.dataset_id}/details").document
    assert found["state"] == "ready"
    number = made.config["number"]
    assert found["options"] == [
        {"name": "number", "value": number, "given": True, "changed": True},
        {"name": "seed", "value": 0, "given": False, "changed": False, "default": 0},
    ]
    assert found["splits"] == [
        {
            "split": "train",
            "shards": 2,
            "shards_done": 2,
            "records": made.manifest.records,
            "bytes": sum(shard.bytes for shard in made.manifest.shards),
        }
    ]
    assert found["skipped"] == {"count": 0, "items": []}
    assert (found["downloads"], found["downloaded_bytes"]) == (2, 300)
    assert found["used_at"] == "2033-05-18T03:33:20.000Z"
    assert found["pinned_at"] is None
    assert found["times"]["shard_secs"] == 0.2
    assert len(found["shard_list"]) == 2
    for name in ("archive", "manifest", "preview", "state"):
        path = found["links"][name].removeprefix(notifier.url)
        assert notifier.ask(path).status == 200, name
    assert f'request_dataset("details", "1.0.0", {{\'number\': {number}}})' in found["python"]
    compile(found["python"], "snippet", "exec")
    assert notifier.ask(f"/datasets/{other.dataset_id}/details").document["downloads"] == 0


def test_details_of_what_is_not_resolved_and_of_nothing(
    notifier: NotifierProcess, steps: Make
) -> None:
    made = steps(dataset_name="early").accepted()
    found = notifier.ask(f"/datasets/{made.dataset_id}/details").document
    assert (found["options"], found["provenance"], found["splits"]) == (None, None, [])
    assert set(found["links"]) == {"state", "events"}
    assert notifier.ask(f"/datasets/{UNKNOWN}/details").status == 404
    assert notifier.ask("/datasets/x/details").status == 404


def test_lists_say_how_much_each_is_used(
    notifier: NotifierProcess, steps: Make, catalog: Catalog
) -> None:
    made = steps(dataset_name="used").ready()
    with catalog.write() as change:
        its = builds.c.content_key == made.content_key
        change.connection.execute(update(builds).where(its).values(pinned_at=2e9))
        row = {"content_key": made.content_key, "bytes": 7, "started_at": 2e9}
        change.connection.execute(insert(downloads), row)
    (one,) = notifier.ask("/datasets?name=used").document
    assert (one["downloads"], one["downloaded_bytes"], one["requests"]) == (1, 7, 1)
    assert one["used_at"] == one["pinned_at"] == "2033-05-18T03:33:20.000Z"


# --- the service as a whole ---


def test_the_service_as_a_whole(notifier: NotifierProcess, steps: Make, catalog: Catalog) -> None:
    queued = steps(dataset_name="g").accepted()
    building = steps(dataset_name="g").accepted().resolved().planned().shard_made(0)
    stalled = steps(dataset_name="g").accepted().resolved().planned().shard_made(0)
    with catalog.write() as change:
        tasks.claim(change, TaskKind.SHARD, building.content_key, 1, "somebody")
    ready = steps(dataset_name="g").ready()
    failed = steps(dataset_name="g").accepted().refused("repeat: 0 is not allowed")
    found = notifier.ask("/overview").document
    by_id = {
        state: {one["dataset_id"]: one for one in found[state]}
        for state in ("queued", "building", "ready", "failed")
    }
    assert by_id["queued"][queued.dataset_id]["why"]
    one = by_id["building"][building.dataset_id]
    assert (one["shards_done"], one["shards"], one["shards_in_hand"]) == (1, 2, 1)
    assert one["records_per_sec"] > 0
    assert one["secs_left"] >= 0
    assert one["why"] is None, "it is being made"
    one = by_id["building"][stalled.dataset_id]
    assert (one["shards_in_hand"], one["records_per_sec"], one["secs_left"]) == (0, None, None)
    assert one["why"].endswith("no builder is known to run")
    assert by_id["ready"][ready.dataset_id]["downloads"] == 0
    assert by_id["failed"][failed.dataset_id]["message"] == "repeat: 0 is not allowed"
    assert found["broker_connected"] is False
    assert found["store"]["bytes"] > 0
    assert found["store"]["budget_bytes"] is None
    assert found["builders"] == []


def test_builders_that_say_nothing_any_more_are_not_alive(
    notifier: NotifierProcess, steps: Make, catalog: Catalog
) -> None:
    waits = steps(dataset_name="h").accepted()
    known = {"host": "here", "workers": 2, "version": "0.1.0", "started_at": 1.0}
    with catalog.write() as change:
        rows = [
            {**known, "name": "old", "seen_at": 1.0, "stopped_at": None},
            {**known, "name": "gone", "seen_at": time.time(), "stopped_at": time.time()},
        ]
        change.connection.execute(insert(builders), rows)
    found = notifier.ask("/overview").document
    assert [(one["name"], one["alive"]) for one in found["builders"]] == [("old", False)]
    (one,) = [each for each in found["queued"] if each["dataset_id"] == waits.dataset_id]
    assert one["why"] == "no builder has taken the request yet: no builder is known to run"
