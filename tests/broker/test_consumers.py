"""Consumers against a real broker: what pika is silent about must not stop them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pika
import pytest

from datamill import topology
from datamill.broker import BatchConsumer, Delivery, Publisher, SlotConsumer
from datamill.broker.event_consumer import EventConsumer
from datamill.errors import BrokerRefused, ServiceUnavailable, TopologyMismatch
from datamill.request import MAX_MESSAGE_BYTES
from datamill_producer.rabbitmq import PrivateNode
from tests.support.vhosts import vhost_of


def until(condition: Callable[[], bool], timeout_secs: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_secs
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.01)


def depth(url: str, queue: str) -> tuple[int, int]:
    """Return (ready messages, consumers) of a queue."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    answer = connection.channel().queue_declare(queue, passive=True).method
    connection.close()
    return answer.message_count, answer.consumer_count


def ask(url: str, *bodies: bytes) -> None:
    with Publisher(url) as publisher:
        for body in bodies:
            publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", body)


class Batches:
    """Collects what a BatchConsumer hands over; refuses bodies that begin with `bad`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, batch: list[Delivery]) -> list[bool]:
        self.bodies += [delivery.body for delivery in batch]
        return [not delivery.body.startswith(b"bad") for delivery in batch]


@pytest.fixture
def batches() -> Batches:
    return Batches()


def consuming(url: str, handle: Callable[[list[Delivery]], list[bool]]) -> BatchConsumer:
    consumer = BatchConsumer(url, "test intake", topology.REQUESTS_QUEUE, 50, handle)
    consumer.start()
    until(consumer.subscribed.is_set)
    return consumer


def test_a_batch_consumer_acknowledges_and_dead_letters(broker_url: str, batches: Batches) -> None:
    consumer = consuming(broker_url, batches)
    ask(broker_url, b"one", b"bad two", b"three")
    until(lambda: len(batches.bodies) == 3)
    until(lambda: depth(broker_url, topology.DEAD_QUEUE)[0] == 1)
    consumer.stop()
    consumer.join(10)
    assert depth(broker_url, topology.REQUESTS_QUEUE) == (0, 0)


def test_a_body_that_is_too_large_is_refused_unread(broker_url: str, batches: Batches) -> None:
    consumer = consuming(broker_url, batches)
    ask(broker_url, b"one", b" " * (MAX_MESSAGE_BYTES + 1), b" " * MAX_MESSAGE_BYTES)
    until(lambda: len(batches.bodies) == 2)
    until(lambda: depth(broker_url, topology.DEAD_QUEUE)[0] == 1)
    assert [len(body) for body in batches.bodies] == [3, MAX_MESSAGE_BYTES]
    consumer.stop()
    consumer.join(10)
    assert depth(broker_url, topology.REQUESTS_QUEUE) == (0, 0)


def test_a_batch_that_could_not_be_handled_is_kept_not_given_back(broker_url: str) -> None:
    tries: list[tuple[bytes, bool]] = []

    def handle(batch: list[Delivery]) -> list[bool]:
        tries.extend((delivery.body, delivery.redelivered) for delivery in batch)
        if len(tries) < 4:
            raise ServiceUnavailable("the catalog is locked")
        return [True] * len(batch)

    consumer = consuming(broker_url, handle)
    ask(broker_url, b"one")
    until(lambda: len(tries) == 4)
    until(lambda: depth(broker_url, topology.REQUESTS_QUEUE)[0] == 0)
    consumer.stop()
    consumer.join(10)
    # The broker counts deliveries, and dead-letters after twenty: none may be spent on waiting.
    assert tries == [(b"one", False)] * 4


def test_a_message_that_nothing_can_be_done_with_takes_no_other_along(broker_url: str) -> None:
    handled: list[bytes] = []

    def handle(batch: list[Delivery]) -> list[bool]:
        bodies = [delivery.body for delivery in batch]
        if b"poison" in bodies:
            raise RuntimeError("not foreseen")
        handled.extend(bodies)
        return [True] * len(batch)

    with Publisher(broker_url) as publisher:
        declaring = BatchConsumer(broker_url, "test", topology.REQUESTS_QUEUE, 1, handle)
        declaring.start()
        until(declaring.subscribed.is_set)
        declaring.stop()
        declaring.join(10)
        for body in (b"one", b"poison", b"two"):
            publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", body)
    consumer = consuming(broker_url, handle)
    until(lambda: depth(broker_url, topology.DEAD_QUEUE)[0] == 1)
    until(lambda: sorted(handled) == [b"one", b"two"])
    consumer.stop()
    consumer.join(10)


def test_a_consumer_survives_closed_connections(
    node: PrivateNode, broker_url: str, batches: Batches
) -> None:
    consumer = consuming(broker_url, batches)
    for round_number in range(3):
        node.ctl("close_all_connections", "-p", vhost_of(broker_url), "a test")
        until(lambda: not consumer.subscribed.is_set())
        until(consumer.subscribed.is_set)
        ask(broker_url, b"after %d" % round_number)
        until(lambda wanted=round_number: len(batches.bodies) >= wanted + 1)
    consumer.stop()
    consumer.join(10)
    assert set(batches.bodies) == {b"after 0", b"after 1", b"after 2"}


def test_a_consumer_survives_its_queue_being_deleted(broker_url: str, batches: Batches) -> None:
    consumer = consuming(broker_url, batches)
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    connection.channel().queue_delete(topology.REQUESTS_QUEUE)
    connection.close()
    until(lambda: not consumer.subscribed.is_set())
    until(consumer.subscribed.is_set)
    ask(broker_url, b"after")
    until(lambda: batches.bodies == [b"after"])
    consumer.stop()
    consumer.join(10)


def test_a_wrong_password_ends_a_consumer(node: PrivateNode, broker_url: str) -> None:
    wrong = broker_url.replace("datamill:", "datamill:not-", 1)
    consumer = BatchConsumer(wrong, "test", topology.REQUESTS_QUEUE, 1, lambda batch: [])
    consumer.start()
    consumer.join(20)
    assert isinstance(consumer.fatal, BrokerRefused)
    assert "not-" not in str(consumer.fatal)


def test_a_queue_with_other_arguments_ends_a_consumer(broker_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    connection.channel().queue_declare(
        topology.REQUESTS_QUEUE,
        durable=True,
        arguments={"x-queue-type": "quorum", "x-delivery-limit": 3},
    )
    connection.close()
    consumer = BatchConsumer(broker_url, "test", topology.REQUESTS_QUEUE, 1, lambda batch: [])
    consumer.start()
    consumer.join(20)
    assert isinstance(consumer.fatal, TopologyMismatch)
    assert "inequivalent arg" in str(consumer.fatal)
    assert topology.REQUESTS_QUEUE in str(consumer.fatal)


class Work:
    """Work that lasts until it is let go; knows how much of it ran at a time."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started: list[bytes] = []
        self.done: list[bytes] = []
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, delivery: Delivery) -> None:
        with self._lock:
            self._running += 1
            self.started.append(delivery.body)
            self.most_at_once = max(self.most_at_once, self._running)
        self.go.wait(30)
        with self._lock:
            self._running -= 1
            self.done.append(delivery.body)


def tickets(url: str, count: int) -> None:
    with Publisher(url) as publisher:
        for number in range(count):
            publisher.publish(topology.WORK_EXCHANGE, topology.SHARD_KEY, b"%d" % number)


def slots(url: str, work: Callable[[Delivery], None], hold_secs: float = 300.0) -> SlotConsumer:
    consumer = SlotConsumer(url, "test slots", topology.SHARDS_QUEUE, 2, work, hold_secs)
    consumer.start()
    until(consumer.subscribed.is_set)
    return consumer


def declare_anew_at_once(url: str) -> None:
    """So fast that RabbitMQ 3.10.8 tells no consumer, and delivers into the void from then on."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for queue in topology.QUEUES:
            channel.queue_delete(queue.name)
        topology.declare(channel)


def test_one_request_in_a_queue_that_was_declared_anew_at_once_is_found(
    broker_url: str, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datamill.broker.batch_consumer.QUIET_SECS", 1.0)
    consumer = consuming(broker_url, batches)
    ask(broker_url, b"before")
    until(lambda: batches.bodies == [b"before"])
    declare_anew_at_once(broker_url)
    ask(broker_url, b"after")
    until(lambda: batches.bodies == [b"before", b"after"])
    until(lambda: depth(broker_url, topology.REQUESTS_QUEUE) == (0, 1))
    consumer.stop()
    consumer.join(10)


@pytest.mark.parametrize("at_work", [False, True])
def test_one_ticket_in_a_queue_that_was_declared_anew_at_once_is_found(
    broker_url: str, at_work: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datamill.broker.slot_consumer.QUIET_SECS", 1.0)
    work = Work()
    consumer = slots(broker_url, work)
    before = 2 if at_work else 0
    tickets(broker_url, before)
    until(lambda: len(work.started) == before)
    declare_anew_at_once(broker_url)
    work.go.set()
    until(lambda: len(work.done) == before)
    tickets(broker_url, 1)
    until(lambda: len(work.done) > before)
    until(lambda: depth(broker_url, topology.SHARDS_QUEUE) == (0, 2))
    consumer.stop()
    consumer.join(10)


def test_consumers_that_wait_for_long_lose_nothing_and_stay_subscribed(
    broker_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("datamill.broker.slot_consumer.QUIET_SECS", 0.0)  # anew at every turn
    work = Work()
    work.go.set()
    consumer = slots(broker_url, work)
    for round_number in range(1, 31):
        tickets(broker_url, 3)
        until(lambda wanted=3 * round_number: len(work.done) >= wanted)
        assert consumer.subscribed.is_set()
    until(lambda: depth(broker_url, topology.SHARDS_QUEUE)[0] == 0)
    consumer.stop()
    consumer.join(10)
    assert {int(body) for body in work.done} == {0, 1, 2}
    assert not caplog.records


def test_each_slot_has_one_piece_of_work_at_a_time(broker_url: str) -> None:
    work = Work()
    consumer = slots(broker_url, work)
    tickets(broker_url, 6)
    until(lambda: len(work.started) == 2)
    assert depth(broker_url, topology.SHARDS_QUEUE)[0] == 4
    work.go.set()
    until(lambda: len(work.done) == 6)
    consumer.stop()
    consumer.join(10)
    assert work.most_at_once == 2
    assert sorted(work.done) == [b"%d" % number for number in range(6)]


def test_long_work_is_acknowledged_early_and_its_slot_takes_nothing_else(broker_url: str) -> None:
    work = Work()
    consumer = slots(broker_url, work, hold_secs=0.2)
    tickets(broker_url, 4)
    until(lambda: depth(broker_url, topology.SHARDS_QUEUE) == (2, 0))
    assert len(work.started) == 2
    work.go.set()
    until(lambda: len(work.done) == 4)
    until(lambda: depth(broker_url, topology.SHARDS_QUEUE) == (0, 2))
    consumer.stop()
    consumer.join(10)
    assert len(work.started) == 4, "what was acknowledged did not come again"


def test_work_that_outlives_the_grace_does_not_hold_up_the_end(broker_url: str) -> None:
    work = Work()
    consumer = slots(broker_url, work)
    tickets(broker_url, 2)
    until(lambda: len(work.started) == 2)
    consumer.stop()
    began = time.monotonic()
    consumer.join(1.0)
    assert time.monotonic() - began < 1.9, "one second for all slots, not for each"
    work.go.set()
    consumer.join(60)
    assert len(work.done) == 2


def test_work_goes_on_over_a_lost_connection(node: PrivateNode, broker_url: str) -> None:
    work = Work()
    consumer = slots(broker_url, work)
    tickets(broker_url, 2)
    until(lambda: len(work.started) == 2)
    node.ctl("close_all_connections", "-p", vhost_of(broker_url), "a test")
    until(lambda: not consumer.subscribed.is_set())
    until(consumer.subscribed.is_set)
    assert work.most_at_once == 2, "a busy slot takes nothing else"
    work.go.set()
    until(lambda: len(work.done) == 4)  # tickets are hints: they came again, and did no harm
    until(lambda: depth(broker_url, topology.SHARDS_QUEUE) == (0, 2))
    consumer.stop()
    consumer.join(10)


def test_work_that_raises_does_not_end_its_slot(broker_url: str) -> None:
    seen: list[bytes] = []

    def work(delivery: Delivery) -> None:
        seen.append(delivery.body)
        raise RuntimeError("on purpose")

    consumer = slots(broker_url, work)
    tickets(broker_url, 5)
    until(lambda: len(seen) == 5)
    until(lambda: depth(broker_url, topology.SHARDS_QUEUE)[0] == 0)
    consumer.stop()
    consumer.join(10)


def test_a_stopping_consumer_takes_no_more_and_finishes_what_it_has(broker_url: str) -> None:
    work = Work()
    consumer = slots(broker_url, work)
    tickets(broker_url, 5)
    until(lambda: len(work.started) == 2)
    consumer.stop()
    tickets(broker_url, 1)
    work.go.set()
    consumer.join(60)
    assert len(work.done) == 2
    until(lambda: depth(broker_url, topology.SHARDS_QUEUE) == (4, 0))


def test_a_binding_that_somebody_takes_away_comes_back(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an exchange that is deleted and declared again; nobody is told of that."""
    monkeypatch.setattr("datamill.broker.event_consumer.BIND_AGAIN_SECS", 0.1)
    heard: list[bytes] = []
    consumer = EventConsumer(broker_url, "test", lambda batch: heard.extend(d.body for d in batch))
    consumer.start()
    until(consumer.subscribed.is_set)
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    channel.exchange_delete(topology.EVENTS_EXCHANGE)
    topology.declare(channel)

    def comes() -> bool:
        channel.basic_publish(topology.EVENTS_EXCHANGE, "dataset.ready.x", b"back")
        return b"back" in heard

    until(comes)
    connection.close()
    consumer.stop()
    consumer.join(10)
