"""Dead letters on a real broker without a builder: what dies, dies by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from click.testing import CliRunner, Result
from pika.adapters.blocking_connection import BlockingChannel

from datamill import topology
from datamill_producer.cli import datamill
from datamill_producer.dead_letters import DeadLetters

REQUEST = {"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {}}
KEY = "dataset.request.toy"


@pytest.fixture
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    opened = connection.channel()
    topology.declare(opened)
    opened.confirm_delivery()
    yield opened
    connection.close()


@pytest.fixture
def run(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    environment = {
        "DATAMILL_BROKER_URL": broker_url,
        "DATAMILL_HOME": str(tmp_path_factory.mktemp("home")),
    }

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(datamill, ["dead", *arguments], env=environment)

    return command


def publish(channel: BlockingChannel, message_id: str, **properties: Any) -> None:
    message = pika.BasicProperties(delivery_mode=2, message_id=message_id, **properties)
    body = json.dumps(REQUEST).encode()
    channel.basic_publish(topology.REQUESTS_EXCHANGE, KEY, body, message, mandatory=True)


def throw_out(channel: BlockingChannel) -> None:
    """Refuse the request at the front, and wait until it is among the dead."""
    before = depth(channel, topology.DEAD_QUEUE)
    method, _, _ = channel.basic_get(topology.REQUESTS_QUEUE)
    assert method is not None
    channel.basic_reject(method.delivery_tag, requeue=False)
    wait_for_depth(channel, topology.DEAD_QUEUE, before + 1)


def depth(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def wait_for_depth(channel: BlockingChannel, queue: str, expected: int) -> None:
    """Counts of a quorum queue are those of its last commit: they come true a little later."""
    deadline = time.monotonic() + 10
    while (found := depth(channel, queue)) != expected:
        assert time.monotonic() < deadline, f"{queue} holds {found}, not {expected}"
        channel.connection.process_data_events(0.02)


def test_a_letter_comes_back_as_it_was_published(channel: BlockingChannel, run: Any) -> None:
    publish(channel, "one", user_id="datamill", headers={"trace": "abc", "x-mine": "no", "CC": []})
    # Twice round: copied x-death headers would make 3.10 see a cycle and drop it.
    for _ in range(2):
        throw_out(channel)
        replayed = run("replay", "--all", "--json")
        assert replayed.exit_code == 0, replayed.output
        letter = json.loads(replayed.stdout)
        assert (letter["exchange"], letter["routing_key"]) == (topology.REQUESTS_EXCHANGE, KEY)
        assert (letter["death"], letter["outcome"]) == ("rejected", "replayed")
        assert "nothing wrong" in letter["reason"]
    method, properties, body = channel.basic_get(topology.REQUESTS_QUEUE)
    assert method is not None
    assert method.routing_key == KEY
    assert json.loads(body) == REQUEST
    assert properties.message_id == "one"
    assert properties.delivery_mode == 2
    assert properties.user_id is None
    own = {k: v for k, v in properties.headers.items() if k != "x-delivery-count"}
    assert own == {"trace": "abc"}
    wait_for_depth(channel, topology.DEAD_QUEUE, 0)


def test_looking_keeps_order_and_loses_nothing(
    channel: BlockingChannel, run: Any, broker_url: str
) -> None:
    ids = [f"letter-{number:02d}" for number in range(40)]
    for message_id in ids:
        publish(channel, message_id)
        throw_out(channel)
    for _ in range(3):
        with DeadLetters(broker_url) as letters:
            assert [letter.message_id for letter in letters.fetch()] == ids
    lines = run("list", "--limit", "5", "--json").stdout.splitlines()
    listed = [json.loads(line) for line in lines]
    assert [letter["message_id"] for letter in listed] == ids[:5]
    assert run("drop", "3", ids[10], "--json").exit_code == 0
    left = [message_id for message_id in ids if message_id not in (ids[2], ids[10])]
    with DeadLetters(broker_url) as letters:
        assert [letter.message_id for letter in letters.fetch()] == left


def test_a_letter_stays_if_it_can_not_be_published(channel: BlockingChannel, run: Any) -> None:
    """It came through an exchange that is not there any more."""
    channel.exchange_declare("passing", "topic")
    arguments = {
        "x-dead-letter-exchange": topology.DEAD_EXCHANGE,
        "x-dead-letter-routing-key": topology.DEAD_KEY,
    }
    channel.queue_declare("passing", exclusive=True, arguments=arguments)
    channel.queue_bind("passing", "passing", "#")
    message = pika.BasicProperties(message_id="stays")
    channel.basic_publish("passing", "some.key", b"anything", message, mandatory=True)
    method, _, _ = channel.basic_get("passing")
    assert method is not None
    channel.exchange_delete("passing")
    channel.basic_reject(method.delivery_tag, requeue=False)
    wait_for_depth(channel, topology.DEAD_QUEUE, 1)

    result = run("replay", "--all")
    assert result.exit_code == 69, result.output
    assert result.stdout == ""
    assert "no exchange 'passing'" in result.stderr
    wait_for_depth(channel, topology.DEAD_QUEUE, 1)


def test_a_deleted_requests_queue_is_declared_again(channel: BlockingChannel, run: Any) -> None:
    publish(channel, "lonely")
    throw_out(channel)
    channel.queue_delete(topology.REQUESTS_QUEUE)
    assert run("replay", "--all").exit_code == 0
    wait_for_depth(channel, topology.REQUESTS_QUEUE, 1)


def test_a_letter_that_tells_no_origin_is_kept(channel: BlockingChannel, run: Any) -> None:
    message = pika.BasicProperties(delivery_mode=2, message_id="stranger")
    channel.basic_publish(topology.DEAD_EXCHANGE, topology.DEAD_KEY, b"{}", message)
    result = run("replay", "--all", "--force")
    assert result.exit_code == 1
    assert "where it came from" in result.stdout
    wait_for_depth(channel, topology.DEAD_QUEUE, 1)
    assert run("drop", "stranger").exit_code == 0
    wait_for_depth(channel, topology.DEAD_QUEUE, 0)


def test_the_queue_is_made_where_there_is_none(broker_url: str, run: Any) -> None:
    result = run("list", "--json")
    assert (result.exit_code, result.stdout) == (0, "")
