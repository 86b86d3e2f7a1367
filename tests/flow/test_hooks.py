"""Hooks of a real builder: killed in between, restarted, beside a hook that hangs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datamill.failpoint import VARIABLE
from datamill_builder.catalog import hook_calls
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.hook_server import HookServer, answer, hang
from tests.support.listener import Connect
from tests.support.notifier import NotifierProcess
from tests.support.toy import write_items

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def server() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


def hooks(*given: dict[str, Any]) -> dict[str, str]:
    return {"DATAMILL_HOOKS": json.dumps(given)}


def webhook(server: HookServer, **more: Any) -> dict[str, Any]:
    return {"name": "scheduler", "url": server.url, "secret": SECRET, **more}


def events(server: HookServer) -> list[Any]:
    return [json.loads(told.body) for told in server.told]


def states(builder: BuilderProcess) -> Counter[str]:
    catalog = builder.catalog
    with catalog.read() as connection:
        rows = hook_calls.listed(connection)
    catalog.close()
    return Counter(row.state for row in rows)


def test_ready_and_failed_are_told_signed_and_a_hit_is_not(
    home: Path, start_builder: Start, client: Connect, server: HookServer
) -> None:
    command = {"name": "file", "command": ["sh", "-c", "cat >> told; echo >> told"]}
    builder = start_builder(home, **hooks(webhook(server), command))
    trainer = client()
    ready = trainer.wait(trainer.ask("toy"))
    failed = trainer.wait(trainer.ask("toy", config={"repeat": 11}))
    trainer.wait(trainer.ask("toy"), after=len(trainer.events))  # there already
    eventually(lambda: states(builder) == Counter(done=4))
    told = events(server)
    assert [(event["event"], event["dataset_id"]) for event in told] == [
        ("ready", ready["dataset_id"]),
        ("failed", failed["dataset_id"]),
    ]
    assert (told[0]["url"], told[0]["cached"]) == (ready["url"], False)
    assert told[1]["message"] == failed["message"]
    assert told[1]["dataset_config"] == {"repeat": 11}
    for call in server.told:
        signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode()
        digest = hmac.digest(KEY, signed + call.body, hashlib.sha256)
        assert call.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    lines = (home / "told").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["ready", "failed"]
    assert "very-secret" not in builder.log()
    assert SECRET not in builder.log()


def test_a_builder_killed_between_commit_and_call_tells_once_it_is_back(
    home: Path, start_builder: Start, client: Connect, server: HookServer
) -> None:
    builder = start_builder(home, **{VARIABLE: "hook.due"}, **hooks(webhook(server)))
    trainer = client()
    dataset_id = trainer.ask("toy")
    builder.wait_killed()
    assert server.told == []
    assert states(builder) == Counter(pending=1)
    again = start_builder(home, **hooks(webhook(server)))
    eventually(lambda: states(again) == Counter(done=1))
    (event,) = events(server)
    assert (event["event"], event["dataset_id"]) == ("ready", dataset_id)


@pytest.mark.slow
def test_a_builder_killed_during_the_call_tells_again_under_the_same_id(
    home: Path, start_builder: Start, client: Connect, server: HookServer
) -> None:
    quick = webhook(server, timeout_secs=1)
    builder = start_builder(home, **{VARIABLE: "hook.told"}, **hooks(quick))
    trainer = client()
    trainer.ask("toy")
    builder.wait_killed()
    assert len(server.told) == 1
    again = start_builder(home, **hooks(quick))
    eventually(lambda: states(again) == Counter(done=1))
    ids = [told.headers["webhook-id"] for told in server.told]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert server.told[0].body == server.told[1].body


def test_a_failing_hook_is_called_again_after_a_restart(
    home: Path, start_builder: Start, client: Connect, server: HookServer
) -> None:
    server.reactions = [answer(503)]
    builder = start_builder(home, **hooks(webhook(server)))
    trainer = client()
    trainer.ask("toy")
    builder.wait_logged("503 Service Unavailable; trying again")
    assert builder.stop() == 0
    again = start_builder(home, **hooks(webhook(server)))
    eventually(lambda: states(again) == Counter(done=1))
    assert len({told.headers["webhook-id"] for told in server.told}) == 1
    assert len(server.told) == 2


def test_a_hook_that_hangs_delays_nobody(
    home: Path, start_builder: Start, client: Connect, server: HookServer
) -> None:
    over = threading.Event()
    with HookServer() as dead:
        dead.reactions = [hang(over)] * 10
        slow = {"name": "slow", "command": ["sleep", "60"], "timeout_secs": 60}
        hanging = webhook(dead, name="dead", timeout_secs=60)
        builder = start_builder(home, **hooks(hanging, slow, webhook(server)))
        trainer = client()
        trainer.wait(trainer.ask("toy"))
        eventually(lambda: dead.told)
        for number in range(2, 6):
            trainer.wait(trainer.ask("toy", config={"repeat": number}), timeout_secs=20)
        eventually(lambda: len(server.told) == 5, 20)
        assert len(dead.told) == 1
        started = time.monotonic()
        assert builder.stop() == 0
        assert time.monotonic() - started < 10
        over.set()
    assert states(builder) == Counter(done=5, pending=10)


def test_two_builders_of_one_catalog_tell_each_once(
    home: Path, start_builder: Start, client: Connect, server: HookServer
) -> None:
    settings = hooks(webhook(server))
    first = start_builder(home, **settings)
    start_builder(home, log_name="second.log", **settings)
    trainer = client()
    ids = [trainer.ask("toy", config={"repeat": number}) for number in range(1, 9)]
    for dataset_id in ids:
        trainer.wait(dataset_id)
    eventually(lambda: states(first) == Counter(done=8))
    assert Counter(event["dataset_id"] for event in events(server)) == Counter(ids)


def test_what_the_notifier_cancels_is_told(
    home: Path, broker_url: str, start_builder: Start, client: Connect, server: HookServer
) -> None:
    write_items(home / "raw", ["sleep 60 long"] * 8)
    settings = hooks(webhook(server))
    builder = start_builder(home, **settings)
    notifier = NotifierProcess(home, broker_url, **settings).start()
    try:
        trainer = client()
        dataset_id = trainer.ask("toy")
        trainer.wait(dataset_id, "planned")
        assert notifier.admin(f"/admin/datasets/{dataset_id}/cancel", "POST").status == 200
        eventually(lambda: states(builder) == Counter(done=1))
    finally:
        notifier.stop()
    (event,) = events(server)
    assert (event["event"], event["reason"]) == ("failed", "cancelled")
