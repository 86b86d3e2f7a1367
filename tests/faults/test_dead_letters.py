"""Replaying dead letters, more than once, changes nothing that is done already (34)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner
from pika.adapters.blocking_connection import BlockingChannel
from sqlalchemy import func, select

from datamill import exits, topology
from datamill_builder.catalog import schema
from datamill_producer.cli import datamill
from tests.support.builder import BuilderProcess, Start
from tests.support.fault import Fault
from tests.support.listener import Connect, PlainClient

KEY = "dataset.request.toy"
REQUEST = {"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {}}


def until(condition: Any, what: str, timeout_secs: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_secs
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def depth(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def send(channel: BlockingChannel, message_id: str) -> None:
    """Publish a good request as somebody may."""
    properties = pika.BasicProperties(
        message_id=message_id,
        user_id=channel.connection._impl.params.credentials.username,
        delivery_mode=2,
        headers={"x-mine": "no", "trace": "abc"},
    )
    body = json.dumps(REQUEST).encode()
    channel.basic_publish(topology.REQUESTS_EXCHANGE, KEY, body, properties, mandatory=True)


def refuse(channel: BlockingChannel, count: int) -> None:
    """Have requests that wait die, as those do that take their consumer along each time."""
    for _ in range(count):
        method = None
        while method is None:
            method, _, _ = channel.basic_get(topology.REQUESTS_QUEUE)
        channel.basic_reject(method.delivery_tag, requeue=False)
    until(lambda: depth(channel, topology.DEAD_QUEUE) == count, "they did not die")


def command(
    builder: BuilderProcess, *arguments: str, code: int = exits.EX_OK
) -> list[dict[str, Any]]:
    """Run `datamill dead` with JSON lines."""
    environment = {"DATAMILL_HOME": str(builder.home), "DATAMILL_BROKER_URL": builder.broker_url}
    result = CliRunner().invoke(datamill, ["dead", *arguments, "--json"], env=environment)
    assert result.exit_code == code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def ready(home: Path, start_builder: Start, client: Connect) -> tuple[BuilderProcess, PlainClient]:
    """A builder that has stopped after it made a dataset, and who waited for that."""
    builder = start_builder(home)
    trainer = client()
    assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
    assert builder.stop() == 0
    return builder, trainer


@pytest.fixture
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    opened = connection.channel()
    opened.confirm_delivery()
    yield opened
    connection.close()


@pytest.mark.fault(34, "a dead letter replayed twice, its dataset long ready")
def test_replaying_twice_answers_once(
    ready: tuple[BuilderProcess, PlainClient],
    channel: BlockingChannel,
    start_builder: Start,
    fault: Fault,
) -> None:
    builder, trainer = ready
    send(channel, "letter")
    refuse(channel, 1)
    again = start_builder(builder.home)
    before = len(trainer.events)
    fault.injected()
    (replayed,) = command(again, "replay", "--all")
    assert replayed["outcome"] == "replayed"
    answer = trainer.wait(trainer.asked[0], after=before)
    secs = fault.recovered()
    command(again, "replay", "--all", code=exits.NOTHING_FOUND)
    trainer.wait(trainer.ask("toy", config={"prefix": "after"}))
    answers = [e for e in trainer.events[before:] if e["dataset_id"] == trainer.asked[0]]
    assert [e["event"] for e in answers] == ["accepted", "ready"]
    assert answer["cached"] is True
    assert _done_again(again) == (1, 1)
    (logged,) = command(again, "log")
    assert (logged["outcome"], logged["message_id"]) == ("replayed", "letter")
    assert logged["routing_key"] == KEY and logged["user"]
    fault.watch(again, trainer)
    fault.saw(f"1 answer, 0 builds, 1 line in the log, {secs:.1f} s; the second found no letter")


@pytest.mark.fault(34, "a dead letter and its copy, replayed, dead again, and replayed again")
def test_letters_that_come_back_and_back(
    ready: tuple[BuilderProcess, PlainClient],
    channel: BlockingChannel,
    start_builder: Start,
    fault: Fault,
) -> None:
    builder, trainer = ready
    for _ in range(2):
        send(channel, "letter")
    fault.injected()
    for _ in range(2):
        refuse(channel, 2)
        assert len(command(builder, "replay", "--all")) == 2
        until(lambda: depth(channel, topology.REQUESTS_QUEUE) == 2, "they were not replayed")
    for properties in _waiting(channel, 2):
        assert properties.user_id is None
        headers = {k: v for k, v in (properties.headers or {}).items() if k != "x-delivery-count"}
        assert headers == {"trace": "abc"}, "nothing that a broker counts on, or sees a cycle in"
    before = len(trainer.events)
    again = start_builder(builder.home)
    trainer.wait(trainer.asked[0], "ready", after=before)
    secs = fault.recovered()
    trainer.wait(trainer.ask("toy", config={"prefix": "after"}))
    answers = [e for e in trainer.events[before:] if e.get("cached") is not None]
    assert all(e["cached"] for e in answers if e["dataset_id"] == trainer.asked[0])
    assert _done_again(again) == (1, 1)
    assert len(command(again, "log")) == 4
    fault.watch(again, trainer)
    fault.saw(f"0 builds, no x- headers and no user_id left, 4 lines in the log, {secs:.1f} s")


def _done_again(builder: BuilderProcess) -> tuple[int | None, int | None]:
    """Return how often the letter is in the log of requests, and the most tries of any task."""
    catalog = builder.catalog
    with catalog.read() as connection:
        count = select(func.count(schema.requests.c.message_id))
        logged = connection.scalar(count.where(schema.requests.c.message_id == "letter"))
        tries = connection.scalar(select(func.max(schema.tasks.c.attempts)))
    catalog.close()
    return logged, tries


def _waiting(channel: BlockingChannel, count: int) -> list[Any]:
    """Return the properties of the requests that wait, and leave them there."""
    seen = []
    while len(seen) < count:
        method, properties, _ = channel.basic_get(topology.REQUESTS_QUEUE)
        if method is not None:
            seen.append((method.delivery_tag, properties))
    for tag, _ in seen:
        channel.basic_reject(tag, requeue=True)
    return [properties for _, properties in seen]


@pytest.mark.fault(34, "a dead letter dropped")
def test_dropping_is_written_down_too(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    builder = start_builder(home)
    trainer = client()
    trainer.send(b"{}", message_id="bad")
    fault.injected()
    until(lambda: trainer.depth(topology.DEAD_QUEUE) == 1, "it did not die")
    (listed,) = command(builder, "list")
    assert (listed["message_id"], listed["flaw"]) == ("bad", "not_that")
    (dropped,) = command(builder, "drop", "1")
    assert dropped["outcome"] == "dropped"
    until(lambda: trainer.depth(topology.DEAD_QUEUE) == 0, "it is still there")
    (logged,) = command(builder, "log")
    assert (logged["outcome"], logged["message_id"], logged["beginning"]) == (
        "dropped",
        "bad",
        "{}",
    )
    secs = fault.recovered()
    assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
    fault.watch(builder, trainer)
    fault.saw(f"dropped, and the log says what it was, {secs:.1f} s")
