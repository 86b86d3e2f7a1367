"""Every answer that the description gives to what is sent by POST, and each state looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from datamill_builder.catalog import Catalog, builders
from datamill_builder.catalog.builders import Builder
from datamill_notifier.openapi.operations import PROBLEMS
from datamill_notifier.openapi.paths import OPERATIONS
from tests.support.ageing import unused_for
from tests.support.catalog_steps import Steps
from tests.support.notifier import Answer, NotifierProcess
from tests.support.openapi import check

UNKNOWN = "0" * 64
DAY_SECS = 86_400.0
ON_ONE = "/admin/datasets/{dataset_id}/"
BIG = b" " * 2_000_000

Make = Callable[..., Steps]


@dataclass(frozen=True)
class Case:
    """What is sent, and the status that answers it. `made`: which dataset the path is about."""

    status: int
    path: str
    made: str = "ready"
    query: str = ""
    body: object = None

    def __str__(self) -> str:
        return f"{self.path} {self.status} {self.made}{self.query}".strip()


def asked(**config: Any) -> dict[str, Any]:
    return {"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": config}


CASES = [
    Case(200, f"{ON_ONE}pin"),
    Case(200, f"{ON_ONE}pin", "evicted"),
    Case(404, f"{ON_ONE}pin", "unknown"),
    Case(409, f"{ON_ONE}pin", "queued"),
    Case(200, f"{ON_ONE}unpin"),
    Case(404, f"{ON_ONE}unpin", "unknown"),
    Case(409, f"{ON_ONE}unpin", "refused"),
    Case(409, f"{ON_ONE}evict", "ready"),  # it was told ready just now
    Case(409, f"{ON_ONE}evict", "evicted"),
    Case(409, f"{ON_ONE}evict", "queued"),
    Case(400, f"{ON_ONE}evict", query="?force=perhaps"),
    Case(404, f"{ON_ONE}evict", "unknown"),
    Case(200, "/admin/gc", query="?dry_run=1&budget=0"),
    Case(200, f"{ON_ONE}evict", "unused"),
    Case(200, f"{ON_ONE}evict", "left", "?force=1"),
    Case(200, f"{ON_ONE}cancel", "wanted"),
    Case(404, f"{ON_ONE}cancel", "unknown"),
    Case(409, f"{ON_ONE}cancel", "ready"),
    Case(409, f"{ON_ONE}cancel", "refused"),
    Case(200, "/admin/gc"),
    Case(200, "/admin/gc", query="?budget=0"),
    Case(400, "/admin/gc", query="?budget=much"),
    Case(200, "/compare", body={"a": "ready", "b": "building"}),
    Case(200, "/compare", body={"a": "ready", "b": "ready"}),
    Case(200, "/compare", body={"a": "refused", "b": asked(number=5)}),
    Case(200, "/compare", body={"a": asked(number=5), "b": asked(text="t")}),
    Case(400, "/compare", body={"a": "ready"}),
    Case(400, "/compare", body={"a": "no id", "b": "ready"}),
    Case(400, "/compare", body={"a": {}, "b": "ready"}),
    Case(400, "/compare", body=b"{"),
    Case(404, "/compare", body={"a": "ready", "b": "unknown"}),
    Case(413, "/compare", body=BIG),
    Case(200, "/near", body=asked(number=-1)),
    Case(200, "/near", body={**asked(), "dataset_name": "nothing-like-it"}),
    Case(400, "/near", body={"dataset_name": "toy"}),
    Case(400, "/near", body=b"["),
    Case(413, "/near", body=BIG),
]


@pytest.fixture(scope="module")
def made(steps: Make, catalog: Catalog) -> dict[str, str]:
    """Dataset ids, by what became of them; or is about to, by what is sent."""
    with catalog.write() as change:
        builders.seen(change, Builder("b" * 32, "host", 2, "0.1.0", time.time()))
    found = {
        "unused": steps().ready(),
        "tidied": steps().ready(),
        "left": steps().accepted().resolved().planned().shard_made(0).failed("it broke"),
        "wanted": steps().accepted().resolved().planned(),
        "queued": steps(client="ada").accepted(),
        "refused": steps().accepted().refused("no such option"),
        "building": steps().accepted().resolved().planned().shard_made(0),
        "failed": steps().accepted().resolved().planned().shard_made(0).failed("it broke"),
        "ready": steps(client="ada").ready(),
        "evicted": steps().ready().evicted(),
    }
    for each in ("unused", "tidied"):
        unused_for(catalog, found[each].content_key, DAY_SECS)
    return {name: each.dataset_id for name, each in found.items()} | {"unknown": UNKNOWN}


def send(notifier: NotifierProcess, made: dict[str, str], case: Case) -> Answer:
    place = case.path.format(dataset_id=made[case.made]) + case.query
    token = (notifier.home / "admin-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"} if case.path.startswith("/admin/") else {}
    return notifier.ask(place, "POST", _body(made, case.body), headers)


def _body(made: dict[str, str], body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    assert isinstance(body, dict)
    named = {
        key: made.get(value, value) if isinstance(value, str) else value
        for key, value in body.items()
    }
    return json.dumps(named).encode()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_sent(notifier: NotifierProcess, made: dict[str, str], case: Case) -> None:
    answer = send(notifier, made, case)
    assert answer.status == case.status, answer.body
    check(answer, "POST", case.path)
    if case.query in ("?dry_run=1&budget=0", "?budget=0"):
        assert answer.document["gone"] and answer.document["stay"], "else they are not compared"


def test_every_answer_to_what_is_sent_was_given() -> None:
    """But for two that others see: without the token, and requests, which ask for a broker."""
    described = {
        (one.path, status)
        for one in OPERATIONS
        if one.method == "POST" and one.path != "/requests"
        for status in (*one.answers, *one.problems)
    }
    assert described - {(case.path, case.status) for case in CASES} == set()
    assert all(case.status in PROBLEMS or case.status == 200 for case in CASES)


STATES = ("queued", "refused", "building", "failed", "ready", "evicted")


@pytest.mark.parametrize("state", [*STATES, "unknown"])
@pytest.mark.parametrize("path", ["/datasets/{name}", "/datasets/{dataset_id}/details"])
def test_each_state(notifier: NotifierProcess, made: dict[str, str], path: str, state: str) -> None:
    answer = notifier.ask(path.format(name=made[state], dataset_id=made[state]))
    assert answer.status == (404 if state == "unknown" else 200)
    check(answer, "GET", path)


@pytest.mark.parametrize("path", ["/overview", "/savings", "/datasets"])
def test_all_at_once(notifier: NotifierProcess, made: dict[str, str], path: str) -> None:
    answer = notifier.ask(path)
    check(answer, "GET", path)
    if path == "/overview":
        told = answer.document
        shown = ("building", "queued", "ready", "failed", "builders")
        assert all(told[each] for each in shown), "what is not there is not compared"


@pytest.mark.parametrize(
    "query", ["failed=1", "dataset_name=toy", "since=2020-01-01T00:00:00Z&limit=1", "until=1"]
)
def test_the_log_of_requests(notifier: NotifierProcess, made: dict[str, str], query: str) -> None:
    answer = notifier.admin(f"/admin/requests?{query}")
    assert answer.status == 200
    check(answer, "GET", "/admin/requests")
    assert bool(answer.document) == (query != "until=1")
