"""What a notifier answers of a real build, while it is made and after, is as it is described."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.builder import BuilderProcess
from tests.support.eventually import eventually
from tests.support.listener import PlainClient
from tests.support.notifier import NotifierProcess
from tests.support.openapi import check
from tests.support.toy import write_items


@pytest.fixture
def notifier(home: Path, broker_url: str) -> Iterator[NotifierProcess]:
    process = NotifierProcess(home, broker_url)
    yield process.start()
    assert process.stop() == 0


def test_all_that_tells_of_it(
    home: Path,
    notifier: NotifierProcess,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
) -> None:
    gate = home / "gate"
    items = [f"item {number}" for number in range(200)]
    write_items(home / "raw", [*items, "bad one", f"gate {gate}"])
    start_builder(home, DATAMILL_PUBLIC_URL=notifier.url)
    trainer = client()
    asked = {"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {}}

    def look(state: str) -> None:
        told = notifier.ask(f"/datasets/{dataset_id}")
        assert told.document["state"] == state
        check(told, "GET", "/datasets/{name}")
        details = notifier.ask(f"/datasets/{dataset_id}/details")
        assert details.document["provenance"]["packages"] is not None
        check(details, "GET", "/datasets/{dataset_id}/details")
        for path in ("/overview", "/savings", "/datasets", "/readyz"):
            check(notifier.ask(path), "GET", path)

    answer = notifier.ask("/requests", "POST", json.dumps(asked).encode())
    assert answer.status == 202
    check(answer, "POST", "/requests")
    dataset_id = answer.document["dataset_id"]
    trainer.wait(dataset_id, "shard")
    eventually(lambda: notifier.ask("/overview").document["building"])
    look("building")
    gate.touch()
    assert trainer.wait(dataset_id)["event"] == "ready"
    look("ready")
    details = notifier.ask(f"/datasets/{dataset_id}/details").document
    assert details["skipped"]["count"] == len(details["skipped"]["items"]) == 1

    near = json.dumps({**asked, "dataset_config": {"prefix": "x"}}).encode()
    answer = notifier.ask("/near", "POST", near)
    assert answer.document["near"]["dataset_id"] == dataset_id
    check(answer, "POST", "/near")
    both = json.dumps({"a": dataset_id, "b": json.loads(near)}).encode()
    check(notifier.ask("/compare", "POST", both), "POST", "/compare")
    for path in ("/admin/datasets/{dataset_id}/pin", "/admin/gc"):
        answer = notifier.admin(path.format(dataset_id=dataset_id), "POST")
        assert answer.status == 200
        check(answer, "POST", path)
