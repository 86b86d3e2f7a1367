"""Publishing against a real broker: what is confirmed is there, what is refused is told."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import pika
import pytest

from datamill import topology
from datamill.broker import Outbound, OutboundRelay, Publisher, connect
from datamill.errors import BrokerBusy, BrokerRefused, BrokerUnavailable, Unroutable
from datamill_producer.rabbitmq import PrivateNode
from tests.broker.test_consumers import depth, until
from tests.support.vhosts import vhost_of


def declare(url: str) -> None:
    connection = connect(url, "test")
    topology.declare(connection.channel())
    connection.close()


def test_the_topology_can_be_declared_again_and_again(broker_url: str) -> None:
    declare(broker_url)
    declare(broker_url)
    for name in (topology.REQUESTS_QUEUE, topology.SHARDS_QUEUE, topology.DEAD_QUEUE):
        assert depth(broker_url, name) == (0, 0)


def test_a_publisher_says_when_nobody_takes_requests(broker_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    connection.channel().exchange_declare(topology.REQUESTS_EXCHANGE, "topic", durable=True)
    connection.close()
    with Publisher(broker_url) as publisher, pytest.raises(Unroutable, match="datamill up"):
        publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", b"{}")


def test_a_publisher_outlives_closed_connections(node: PrivateNode, broker_url: str) -> None:
    declare(broker_url)
    with Publisher(broker_url) as publisher:
        for number in range(3):
            publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", b"%d" % number)
            node.ctl("close_all_connections", "-p", vhost_of(broker_url), "a test")
    assert depth(broker_url, topology.REQUESTS_QUEUE)[0] == 3


def test_addresses_that_lead_nowhere_are_told_apart(node: PrivateNode) -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:9"):
        connect("amqp://a:secret@127.0.0.1:9/", "test")
    with pytest.raises(BrokerRefused) as refused:
        connect(node.url.replace("datamill:", "datamill:x", 1), "test")
    assert "secret" not in str(refused.value)
    with pytest.raises(BrokerRefused):
        connect(node.vhost_url("no-such-vhost"), "test")


def test_a_blocked_broker_is_said_to_be_busy(node: PrivateNode, broker_url: str) -> None:
    declare(broker_url)
    publisher = Publisher(broker_url, blocked_timeout_secs=1.0)
    publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", b"before")
    node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        with pytest.raises(BrokerBusy):
            # The alarm begins when the broker next looks at its memory.
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", b"during")
    finally:
        node.ctl("set_vm_memory_high_watermark", "absolute", "512MB")
    publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", b"after")
    publisher.close()
    assert depth(broker_url, topology.REQUESTS_QUEUE)[0] >= 2


class Relayed:
    """A running relay, and what it has confirmed."""

    def __init__(self, url: str) -> None:
        self.confirmed: queue.SimpleQueue[list[Outbound]] = queue.SimpleQueue()
        self.ids: list[str] = []
        self.relay = OutboundRelay(url, "test relay", self._on_confirmed)
        self._lock = threading.Lock()

    def _on_confirmed(self, messages: list[Outbound]) -> None:
        with self._lock:
            self.ids += [message.message_id for message in messages]


@pytest.fixture
def relayed(broker_url: str) -> Iterator[Relayed]:
    one = Relayed(broker_url)
    one.relay.start()
    yield one
    one.relay.stop()
    one.relay.join(10)


def shard_tickets(count: int, name: str = "m") -> list[Outbound]:
    return [
        Outbound(topology.WORK_EXCHANGE, topology.SHARD_KEY, b"{}", f"{name}{number}", True)
        for number in range(count)
    ]


def test_a_relay_publishes_many_in_order_and_confirms_each_once(
    broker_url: str, relayed: Relayed
) -> None:
    relayed.relay.send(shard_tickets(5000))
    until(relayed.relay.idle)
    until(lambda: len(relayed.ids) == 5000)
    assert set(relayed.ids) == {f"m{number}" for number in range(5000)}
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    order = [
        properties.message_id
        for _, properties, _ in (
            channel.basic_get(topology.SHARDS_QUEUE, auto_ack=True) for _ in range(50)
        )
    ]
    connection.close()
    assert order == [f"m{number}" for number in range(50)]


def test_a_relay_gets_everything_out_over_closed_connections(
    node: PrivateNode, broker_url: str, relayed: Relayed
) -> None:
    for round_number in range(3):
        relayed.relay.send(shard_tickets(2000, f"r{round_number}-"))
        node.ctl("close_all_connections", "-p", vhost_of(broker_url), "a test")
    until(relayed.relay.idle, 30)
    until(lambda: len(set(relayed.ids)) == 6000)
    assert depth(broker_url, topology.SHARDS_QUEUE)[0] >= 6000, "twice is allowed, lost is not"


def test_a_relay_declares_a_queue_again_that_was_deleted(broker_url: str, relayed: Relayed) -> None:
    relayed.relay.send(shard_tickets(1, "first"))
    until(lambda: len(relayed.ids) == 1)
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    connection.channel().queue_delete(topology.SHARDS_QUEUE)
    connection.close()
    relayed.relay.send(shard_tickets(3, "second"))
    until(lambda: len(relayed.ids) == 4)
    assert depth(broker_url, topology.SHARDS_QUEUE)[0] == 3


def test_a_relay_waits_for_a_broker_that_is_away(node: PrivateNode, broker_url: str) -> None:
    one = Relayed(broker_url)
    one.relay.send(shard_tickets(10))
    assert not one.relay.idle()
    one.relay.start()
    until(one.relay.idle)
    until(lambda: len(one.ids) == 10)
    one.relay.stop()
    one.relay.join(10)
    assert not one.relay.is_alive()


def test_a_relay_that_is_blocked_keeps_what_counts_and_drops_the_rest(
    node: PrivateNode, broker_url: str, relayed: Relayed
) -> None:
    relayed.relay.send(shard_tickets(1, "before"))
    until(lambda: len(relayed.ids) == 1)
    node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        relayed.relay.send(shard_tickets(1, "kept"))
        until(lambda: relayed.relay.blocked)
        for number in range(1000):
            relayed.relay.offer(shard_tickets(1, f"progress{number}-"))
        relayed.relay.send(shard_tickets(3, "also-kept"))
    finally:
        node.ctl("set_vm_memory_high_watermark", "absolute", "512MB")
    until(lambda: len(relayed.ids) == 5)
    relayed.relay.offer(shard_tickets(1, "flowing"))
    until(lambda: len(relayed.ids) == 6)
    assert not [message_id for message_id in relayed.ids if "progress" in message_id]


def test_a_relay_leaves_out_what_others_have_published_meanwhile(broker_url: str) -> None:
    confirmed: list[Outbound] = []
    ours = shard_tickets(2, "ours")
    relay = OutboundRelay(broker_url, "test relay", confirmed.extend, lambda _waiting: ours)
    relay.send([*shard_tickets(5, "told"), *ours])
    relay.start()
    until(lambda: len(confirmed) == 2)
    until(relay.idle)
    assert confirmed == ours
    relay.stop()
    relay.join(10)


def test_a_full_queue_makes_a_relay_wait_and_loses_nothing(
    node: PrivateNode, broker_url: str, relayed: Relayed
) -> None:
    relayed.relay.send(shard_tickets(1, "first"))
    until(lambda: len(relayed.ids) == 1)
    vhost = vhost_of(broker_url)
    node.ctl("set_policy", "-p", vhost, "small", "shards", '{"max-length": 5}')
    relayed.relay.send(shard_tickets(50))
    until(lambda: depth(broker_url, topology.SHARDS_QUEUE)[0] >= 5)
    node.ctl("clear_policy", "-p", vhost, "small")
    until(lambda: len(set(relayed.ids)) == 51, 40)
    assert depth(broker_url, topology.SHARDS_QUEUE)[0] >= 51
