"""What doctor says of a real broker: its queues, their arguments, its alarms."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner, Result
from pika.adapters.blocking_connection import BlockingChannel

from datamill import topology
from datamill_producer.cli import datamill
from datamill_producer.rabbitmq import Installation, PrivateNode
from tests.support.eventually import eventually

Found = list[dict[str, Any]]
Doctor = Callable[..., Result]


@pytest.fixture
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    yield connection.channel()
    connection.close()


def doctor(url: str, home: Path, *arguments: str) -> Result:
    environment = {"DATAMILL_BROKER_URL": url, "DATAMILL_HOME": str(home), "DATAMILL_URL": ""}
    return CliRunner().invoke(datamill, ["doctor", *arguments], env=environment)


def found(result: Result, check: str) -> Found:
    return [one for one in json.loads(result.stdout)["checks"] if one["check"] == check]


@pytest.fixture
def queues(broker_url: str, tmp_path: Path) -> Callable[[], Found]:
    return lambda: found(doctor(broker_url, tmp_path / "home", "--json"), "queues")


def of(queue: str, queues: Found) -> Found:
    return [one for one in queues if queue in one["says"]]


def test_nothing_is_declared_and_nothing_is_made(
    queues: Callable[[], Found], broker_url: str, tmp_path: Path
) -> None:
    for _ in range(2):
        assert {one["level"] for one in queues()} == {"ok"}
        assert all("not there yet" in one["says"] for one in queues())
    (broker, *_) = found(doctor(broker_url, tmp_path / "home", "--json"), "broker")
    assert broker["says"].startswith("RabbitMQ ")


def test_depths_and_who_takes_from_them(
    queues: Callable[[], Found], channel: BlockingChannel
) -> None:
    topology.declare(channel)
    (idle,) = of(topology.REQUESTS_QUEUE, queues())
    assert (idle["level"], idle["advice"]) == ("warning", "nobody takes from it: start a builder")
    channel.confirm_delivery()
    channel.basic_publish(topology.REQUESTS_EXCHANGE, "dataset.request.toy", b"{}", mandatory=True)
    channel.basic_publish(topology.DEAD_EXCHANGE, topology.DEAD_KEY, b"dead", mandatory=True)

    def counted() -> bool:
        (waits,) = of(topology.REQUESTS_QUEUE, queues())
        (dead,) = of(topology.DEAD_QUEUE, queues())
        return (waits["level"], dead["level"]) == ("error", "warning")

    eventually(counted)
    (dead,) = of(topology.DEAD_QUEUE, queues())
    assert dead["says"].endswith("1 messages, 0 consumers")
    assert "datamill dead list" in dead["advice"]


def test_a_queue_with_other_arguments(
    queues: Callable[[], Found], channel: BlockingChannel, broker_url: str, tmp_path: Path
) -> None:
    topology.declare(channel)
    channel.queue_delete(topology.SHARDS_QUEUE)
    arguments = {"x-queue-type": "quorum", "x-max-length": 7}
    channel.queue_declare(topology.SHARDS_QUEUE, durable=True, arguments=arguments)
    told = [one for one in of(topology.SHARDS_QUEUE, queues()) if one["level"] == "error"]
    assert len(told) == 1
    assert "inequivalent arg" in told[0]["says"]
    assert "delete it" in told[0]["advice"]
    assert doctor(broker_url, tmp_path / "home").exit_code == 1


def test_an_exchange_of_another_type(queues: Callable[[], Found], channel: BlockingChannel) -> None:
    channel.exchange_declare(topology.EVENTS_EXCHANGE, "fanout", durable=True)
    assert any("inequivalent arg" in one["says"] for one in queues() if one["level"] == "error")


def test_a_wrong_password(broker_url: str, tmp_path: Path) -> None:
    url = broker_url.replace("datamill:", "datamill:x", 1)
    (told,) = found(doctor(url, tmp_path / "home", "--json"), "broker")
    assert told["level"] == "error"
    assert "refused the user name or password" in told["says"]


def test_an_alarm_is_seen_over_amqp_by_its_tools_and_by_the_management_api(
    installation: Installation, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with PrivateNode(home / "broker", installation, ["rabbitmq_management"]) as node:
        management = node.url.replace("amqp://", "http://").rpartition("@")[0]
        management += f"@127.0.0.1:{node.ports['rabbitmq_management']}"
        well = doctor(node.url, home, "--json", "--management-url", management)
        (api, clock) = found(well, "broker management")
        assert (api["level"], clock["level"]) == ("ok", "ok"), api
        (alarms,) = found(well, "broker alarms")
        assert alarms["level"] == "ok"

        node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")

        def alarm() -> bool:
            ill = doctor(node.url, home, "--json", "--management-url", management)
            (over_amqp,) = found(ill, "broker alarms")
            (api, *_) = found(ill, "broker management")
            return over_amqp["level"] == api["level"] == "error" and ill.exit_code == 1

        eventually(alarm)
        assert "mem_alarm" in doctor(node.url, home, "--management-url", management).stdout
