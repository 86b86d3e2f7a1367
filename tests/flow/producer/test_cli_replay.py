"""replay and dead, against a running service."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pika
import pytest

import datamill
from datamill import topology
from tests.support.listener import PlainClient
from tests.support.up import UpProcess

VERSION = "1.0.0"
GOOD = {"dataset_name": "toy", "handler_version": VERSION, "dataset_config": {"prefix": "revived"}}


@contextmanager
def listening(service: UpProcess) -> Iterator[PlainClient]:
    client = PlainClient(service.run_file()["broker_url"])
    try:
        yield client
    finally:
        client.close()


def ask(service: UpProcess, *options: str) -> None:
    arguments = [word for option in options for word in ("-o", option)]
    service.command("request", "toy", VERSION, *arguments, "--wait")


def prefixed(prefix: str) -> str:
    return datamill.dataset_id("toy", VERSION, {"prefix": prefix})


def test_replay_of_what_is_ready_gives_one_answer_and_no_build(service: UpProcess) -> None:
    for _ in range(3):
        ask(service, "prefix=once")
    with listening(service) as client:
        (line,) = service.documents("replay", "--id", prefixed("once")[:12], "--wait")
        client.wait(prefixed("once"), "ready")
        client.listen(0.5)
        assert client.seen(prefixed("once")) == ["accepted", "ready"]
    assert line["published"] is line["cached"] is True
    assert line["dataset_config"] == {"prefix": "once"}
    assert uuid.UUID(line["message_id"]), "a new one"


def test_dry_run_publishes_nothing(service: UpProcess) -> None:
    ask(service, "prefix=dry")
    with listening(service) as client:
        (line,) = service.documents("replay", "--id", prefixed("dry"), "--dry-run")
        client.listen(0.5)
        assert client.events == []
    assert line["published"] is False


def test_replay_of_the_failed_ones_says_what_became_of_each(service: UpProcess) -> None:
    ask(service, "repeat=0")
    ask(service, "prefix=fine")
    done = service.command("replay", "--failed", "--since", "1h", "--wait", "--json")
    assert done.returncode == 3
    lines = {line["dataset_id"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert lines[datamill.dataset_id("toy", VERSION, {"repeat": 0})]["reason"] == "invalid_config"
    assert prefixed("fine") not in lines
    text = service.command("replay", "--failed", "--wait").stdout
    assert "failed, invalid_config: repeat" in text


def test_replay_by_time_and_name(service: UpProcess) -> None:
    ask(service, "prefix=timed")
    ids = {line["dataset_id"] for line in service.documents("replay", "--since", "1h", "--dry-run")}
    assert prefixed("timed") in ids
    assert len(service.documents("replay", "--dataset", "toy", "--dry-run")) == len(
        {line["dataset_id"] for line in service.documents("list", "--name", "toy")}
    )
    nothing = service.command("replay", "--until", "2020-01-01T00:00:00Z")
    assert nothing.returncode == 5
    assert service.command("replay", "--dataset", "nobodys").returncode == 5


def test_rate_spreads_them(service: UpProcess) -> None:
    for prefix in ("rate1", "rate2", "rate3"):
        ask(service, f"prefix={prefix}")
    ids = [word for p in ("rate1", "rate2", "rate3") for word in ("--id", prefixed(p))]
    with listening(service) as client:
        assert len(service.documents("replay", *ids, "--rate", "4", "--wait")) == 3
        times = [client.wait(prefixed(p), "ready")["time"] for p in ("rate1", "rate2", "rate3")]
    first, _, last = sorted(times)
    assert last > first


@pytest.fixture
def dead(service: UpProcess) -> Iterator[list[dict[str, Any]]]:
    """Two dead letters: no JSON, and an unknown field."""
    service.command("dead", "drop", "--all")
    with listening(service) as client:
        client.send(b"no json \xff at all", message_id="letter-1")
        unknown = json.dumps({**GOOD, "colour": "red"}).encode()
        client.send(unknown, message_id="letter-2")
        service.wait_for(lambda: client.depth("dataset.dead.v1") == 2)
    yield service.documents("dead", "list")
    service.command("dead", "drop", "--all")


def test_dead_letters_are_listed_again_and_again(
    service: UpProcess, dead: list[dict[str, Any]]
) -> None:
    for _ in range(3):
        assert service.documents("dead", "list") == dead
    first, second = dead
    assert [first["number"], second["number"]] == [1, 2]
    assert first["queue"] == "dataset.requests.v1"
    assert (first["exchange"], first["routing_key"]) == ("dataset.requests", "dataset.request.toy")
    assert first["reason"].startswith("is not JSON")
    assert first["beginning"].startswith("no json")
    assert "colour is not a field" in second["reason"]
    text = service.said("dead", "list")
    assert "letter-1" in text
    assert "colour is not a field" in text
    shown = service.documents("dead", "show", "letter-2")[0]
    assert json.loads(shown["body"])["colour"] == "red"


def test_what_would_be_refused_again_is_not_replayed(
    service: UpProcess, dead: list[dict[str, Any]]
) -> None:
    done = service.command("dead", "replay", "--all")
    assert done.returncode == 1
    assert done.stdout.count("not replayed") == 2
    assert service.documents("dead", "list") == dead
    assert service.command("replay", "--dead", "--json").returncode == 1


def bury(service: UpProcess, **requests: dict[str, Any]) -> None:
    """Put requests among the dead, by message id, as the broker does those that no one survives."""
    url = service.run_file()["broker_url"]
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for message_id, request in requests.items():
            key = topology.request_key(request["dataset_name"])
            death = {
                "queue": topology.REQUESTS_QUEUE,
                "exchange": topology.REQUESTS_EXCHANGE,
                "routing-keys": [key],
                "reason": "delivery_limit",
                "count": 1,
            }
            said = pika.BasicProperties(message_id=message_id, headers={"x-death": [death]})
            body = json.dumps(request).encode()
            channel.basic_publish(topology.DEAD_EXCHANGE, topology.DEAD_KEY, body, said, True)


def test_replay_of_the_dead_says_what_became_of_each(service: UpProcess) -> None:
    service.command("dead", "drop", "--all")
    refused = {**GOOD, "dataset_config": {"repeat": 0}}
    bury(service, fine=GOOD, hopeless=refused, unreadable={**GOOD, "colour": "red"})
    dry = service.command("replay", "--dead", "--wait", "--dry-run")
    assert (dry.returncode, dry.stdout.count("would be replayed")) == (1, 2)
    assert service.command("replay", "--dead", "--rate", "0.0001").returncode == 2
    assert len(service.documents("dead", "list")) == 3

    done = service.command("replay", "--dead", "--wait", "--rate", "2", "--json")
    assert done.returncode == 3, done.stderr
    lines = {line["message_id"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert (lines["fine"]["outcome"], lines["fine"]["dataset_id"]) == ("ready", prefixed("revived"))
    assert (lines["hopeless"]["outcome"], lines["hopeless"]["reason"]) == (
        "failed",
        "invalid_config",
    )
    assert lines["unreadable"]["outcome"].startswith("not replayed: ")
    assert done.stderr.splitlines()[-1] == "2 published: 1 ready, 1 failed"
    entries = {entry["message_id"]: entry["time"] for entry in service.documents("dead", "log")}
    first, second = sorted(datetime.fromisoformat(entries[name]) for name in ("fine", "hopeless"))
    assert (second - first).total_seconds() > 0.4, "two a second"
    (left,) = service.documents("dead", "list")
    assert left["message_id"] == "unreadable"
    assert service.command("replay", "--dead", "--wait").returncode == 1
    service.command("dead", "drop", "--all")


def test_replay_of_the_dead_waits_no_longer_than_it_is_told(service: UpProcess) -> None:
    service.command("dead", "drop", "--all")
    slow = {**GOOD, "dataset_name": "slow"}
    bury(service, slow=slow)
    done = service.command("replay", "--dead", "--wait", "--timeout", "0.5")
    assert done.returncode == 4, done.stderr
    assert "slow published, " in done.stdout
    service.command("cancel", datamill.dataset_id("slow", VERSION, slow["dataset_config"]))
    assert service.command("replay", "--dead").returncode == 5


def test_force_replays_and_they_die_again(service: UpProcess, dead: list[dict[str, Any]]) -> None:
    assert service.documents("dead", "replay", "1", "--force")[0]["outcome"] == "replayed"
    service.wait_for(lambda: len(service.documents("dead", "list")) == 2)
    ids = [letter["message_id"] for letter in service.documents("dead", "list")]
    assert sorted(ids) == ["letter-1", "letter-2"]


def test_drop_by_number_and_by_message_id(service: UpProcess, dead: list[dict[str, Any]]) -> None:
    dry = service.documents("dead", "drop", "--all", "--dry-run")
    assert [line["outcome"] for line in dry] == ["would be dropped"] * 2
    assert service.documents("dead", "list") == dead
    assert service.documents("dead", "drop", "letter-1")[0]["message_id"] == "letter-1"
    assert service.documents("dead", "drop", "1")[0]["message_id"] == "letter-2"
    empty = service.command("dead", "drop", "--all")
    assert (empty.returncode, empty.stdout) == (5, "")
    assert service.documents("dead", "list") == []


def test_choices_that_are_none(service: UpProcess, dead: list[dict[str, Any]]) -> None:
    assert service.command("dead", "drop", "7").returncode == 5
    assert service.command("dead", "drop", "letter-").returncode == 2
    assert service.command("dead", "drop").returncode == 2
    assert service.command("dead", "drop", "1", "--all").returncode == 2
    assert service.documents("dead", "list") == dead
