"""Queues that RabbitMQ has lost: listed, and nothing behind them."""

from __future__ import annotations

from pathlib import Path

import pika
import pytest
from pika.exceptions import ConnectionClosedByBroker, NackError

from datamill import topology
from datamill.broker import BatchConsumer, Delivery, Publisher
from datamill.errors import BrokerBusy
from datamill_producer.rabbitmq import Installation, PrivateNode
from datamill_producer.up.brokers import PrivateBroker, declare
from datamill_producer.up.lost_queues import declare_lost_queues_anew
from tests.support.eventually import eventually
from tests.support.vhosts import vhost_of

_DESTROY = """
{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)),
ra:force_delete_server(quorum_queues, amqqueue:get_pid(Queue)).
"""


def destroy(node: PrivateNode, url: str, queue: str) -> None:
    """Leave of a queue what a crash in its first second leaves."""
    node.ctl("eval", _DESTROY % (vhost_of(url), queue))


def publish(url: str, body: bytes) -> None:
    with Publisher(url) as publisher:
        publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", body)


def depth(url: str, queue: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


def test_a_lost_queue_is_declared_anew_and_no_other(node: PrivateNode, broker_url: str) -> None:
    declare(broker_url)
    with Publisher(broker_url) as publisher:
        publisher.publish(topology.WORK_EXCHANGE, topology.SHARD_KEY, b"stays")
    destroy(node, broker_url, topology.REQUESTS_QUEUE)
    with pytest.raises(ConnectionClosedByBroker, match="541"):
        connection = pika.BlockingConnection(pika.URLParameters(broker_url))
        connection.channel().basic_consume(topology.REQUESTS_QUEUE, lambda *_: None)
    assert declare_lost_queues_anew(broker_url, 0.5) == [topology.REQUESTS_QUEUE]
    publish(broker_url, b"taken")
    eventually(lambda: depth(broker_url, topology.REQUESTS_QUEUE) == 1)
    assert depth(broker_url, topology.SHARDS_QUEUE) == 1
    assert declare_lost_queues_anew(broker_url) == []
    eventually(lambda: depth(broker_url, topology.SHARDS_QUEUE) == 1)


def test_a_consumer_says_which_queue_is_lost_and_goes_on_once_it_is_back(
    node: PrivateNode, broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    declare(broker_url)
    destroy(node, broker_url, topology.REQUESTS_QUEUE)
    bodies: list[bytes] = []

    def handle(batch: list[Delivery]) -> list[bool]:
        bodies.extend(delivery.body for delivery in batch)
        return [True] * len(batch)

    consumer = BatchConsumer(broker_url, "test intake", topology.REQUESTS_QUEUE, 5, handle)
    consumer.start()
    eventually(lambda: "it has lost the queue: delete it there" in caplog.text)
    assert topology.REQUESTS_QUEUE in caplog.text
    declare_lost_queues_anew(broker_url, 0.0)
    eventually(consumer.subscribed.is_set)
    publish(broker_url, b"one")
    eventually(lambda: bodies == [b"one"])
    consumer.stop()
    consumer.join(10)


def test_datamill_up_mends_its_own_broker_when_it_starts_it_again(
    tmp_path: Path, installation: Installation
) -> None:
    broker = PrivateBroker(tmp_path / "broker")
    broker.start()
    try:
        broker.settle()
        node = broker._node
        assert node is not None
        destroy(node, broker.url, topology.REQUESTS_QUEUE)
        with pytest.raises((BrokerBusy, NackError)):
            publish(broker.url, b"refused")
        broker.stop()
        broker.start()
        publish(broker.url, b"taken")
        eventually(lambda: depth(broker.url, topology.REQUESTS_QUEUE) == 1)
    finally:
        broker.stop()
