"""The broker runs out of memory or disk, and takes no messages (faults 18 to 20)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import pytest
from sqlalchemy import func, select

from datamill import topology
from datamill.broker import Publisher
from datamill.broker_session import BrokerSession
from datamill.errors import BrokerBusy
from datamill.request import Request
from datamill.tracker import Tracker
from datamill_builder.catalog import lifecycle, schema
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_producer.rabbitmq import NodeFailed, PrivateNode
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.notifier import StartNotifier
from tests.support.own_node import node  # an alarm is the whole node's
from tests.support.toy import write_items

__all__ = ["node"]

ALARMS = {
    "memory": (
        ("set_vm_memory_high_watermark", "absolute", "1MB"),
        ("set_vm_memory_high_watermark", "absolute", "512MB"),
    ),
    "disk": (("set_disk_free_limit", "900000GB"), ("set_disk_free_limit", "1MB")),
}
HTTP_CLIENT_SECS = 10.0
"""How long our own client waits for an answer over HTTP."""


@contextmanager
def alarm(node: PrivateNode, kind: str) -> Iterator[None]:
    """Let the broker take no messages, until the end at the latest."""
    on, off = ALARMS[kind]
    node.ctl(*on)
    try:
        eventually(lambda: _is_alarmed(node))
        yield
    finally:
        node.ctl(*off)


def _is_alarmed(node: PrivateNode) -> bool:
    try:
        node.ctl("check_local_alarms", tool="rabbitmq-diagnostics")
    except NodeFailed:
        return True
    return False


def _count(builder: BuilderProcess, state: TaskState) -> int:
    """How many shards are in a state."""
    catalog = builder.catalog
    table = schema.tasks.c
    with catalog.read() as connection:
        query = select(func.count()).where(table.kind == TaskKind.SHARD, table.state == state)
        count = connection.scalar(query) or 0
    catalog.close()
    return count


def _outbox(builder: BuilderProcess) -> list[str]:
    """The routing keys of what waits to be published."""
    catalog = builder.catalog
    with catalog.read() as connection:
        keys = list(connection.scalars(select(schema.outbox.c.routing_key)))
    catalog.close()
    return keys


def _logged(builder: BuilderProcess, message_id: str) -> int:
    catalog = builder.catalog
    table = schema.requests.c
    with catalog.read() as connection:
        count = connection.scalar(select(func.count()).where(table.message_id == message_id)) or 0
    catalog.close()
    return count


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("memory", marks=pytest.mark.fault(18, "memory alarm")),
        pytest.param("disk", marks=pytest.mark.fault(19, "disk alarm")),
    ],
)
def test_who_asks_is_told_and_nothing_is_lost(
    home: Path,
    start_builder: Start,
    start_notifier: StartNotifier,
    client: Connect,
    node: PrivateNode,
    broker_url: str,
    fault: Fault,
    kind: str,
) -> None:
    builder = start_builder(home)
    notifier = start_notifier()
    trainer = client()
    request = Request.of("toy", "1.0.0", {})
    message_id = str(uuid.uuid4())
    message = (topology.REQUESTS_EXCHANGE, topology.request_key("toy"), request.encode())
    publisher = Publisher(broker_url, blocked_timeout_secs=3.0)
    publisher.publish(*message)
    trainer.wait(request.dataset_id)
    with _unconfirmed(broker_url) as held:
        with alarm(node, kind):
            fault.injected()
            started = time.monotonic()
            with pytest.raises(BrokerBusy):
                publisher.publish(*message, message_id)
            busy_secs = time.monotonic() - started
            started = time.monotonic()
            answer = notifier.ask("/requests", "POST", request.encode())
            http_secs = time.monotonic() - started
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert http_secs < HTTP_CLIENT_SECS
            _declare_get_and_acknowledge(broker_url, held)
        before = len(trainer.events)
        publisher.publish(*message, message_id)
        trainer.wait(request.dataset_id, after=before)
        secs = fault.recovered()
    eventually(lambda: _logged(builder, message_id) == 1)
    publisher.close()
    trainer.asked.append(request.dataset_id)
    fault.watch(builder, trainer)
    assert notifier.stop() == 0
    assert len(builder.archives()) == 1, "late duplicates do no harm"
    fault.saw(
        f"`BrokerBusy` after {busy_secs:.1f} s (allowed: 3), HTTP 503 after {http_secs:.1f} s; "
        f"declaring, getting and acknowledging worked; the request counted once, {secs:.1f} s after"
    )


@contextmanager
def _unconfirmed(url: str) -> Iterator[str]:
    """A queue that holds one message; its name."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        name = channel.queue_declare("held", durable=True).method.queue
        channel.confirm_delivery()
        channel.basic_publish("", name, b"held", mandatory=True)
        yield name
        channel.queue_delete(name)


def _declare_get_and_acknowledge(url: str, name: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        topology.declare(channel)
        method, _, body = channel.basic_get(name)
        assert body == b"held"
        channel.basic_ack(method.delivery_tag)
        assert channel.queue_declare(name, passive=True).method.message_count == 0


@pytest.mark.long
@pytest.mark.fault(18, "memory alarm, the library with its own times")
def test_the_library_says_busy_within_its_time(
    home: Path, start_builder: Start, node: PrivateNode, broker_url: str, fault: Fault
) -> None:
    builder = start_builder(home)
    request = Request.of("toy", "1.0.0", {})
    session, tracker = BrokerSession(broker_url, None), Tracker(request.dataset_id, request)
    with alarm(node, "memory"):
        fault.injected()
        started = time.monotonic()
        with pytest.raises(BrokerBusy):
            session.ask(tracker)
        busy_secs = time.monotonic() - started
        assert 25 < busy_secs < 45
    session.ask(tracker)
    assert tracker.wait_until(lambda: tracker.ready is not None, 60)
    secs = fault.recovered()
    session.close()
    fault.watch(builder)
    assert _logged(builder, tracker.message_id) == 1, "it arrived late, and counts once"
    fault.saw(f"`BrokerBusy` after {busy_secs:.1f} s (allowed: 30); ready {secs:.1f} s after")


@pytest.mark.parametrize("secs_on", [5, pytest.param(90, marks=pytest.mark.long)])
@pytest.mark.fault(20, "alarm while workers finish shards")
def test_workers_go_on_and_their_events_wait(
    home: Path,
    start_builder: Start,
    client: Connect,
    node: PrivateNode,
    fault: Fault,
    secs_on: int,
) -> None:
    shards = 20 + 4 * (secs_on // 30)  # some of them are made after the alarm is on
    write_items(home / "raw", ["sleep 0.3"] * (4 * shards))
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    with alarm(node, "memory"):
        fault.injected()
        eventually(lambda: _count(builder, TaskState.DONE) == shards)
        told = trainer.seen(dataset_id).count("shard")
        eventually(lambda: any(key.startswith("dataset.shard.") for key in _outbox(builder)))
        assert _count(builder, TaskState.LEASED) == 0
        waiting = _outbox(builder)
        _stay(builder, secs_on)
        assert len(_outbox(builder)) == len(waiting), "nothing piles up meanwhile"
        assert "ready" not in trainer.seen(dataset_id)
        assert "trying again" not in builder.log(), "each connection waits, none is given up"
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(builder, trainer)
    assert ready["records"] == 4 * shards
    indexes = {event["index"] for event in trainer.events if event["event"] == "shard"}
    assert indexes == set(range(shards)), "every shard was told of in the end"
    fault.saw(
        f"{shards - told} of {shards} shards committed while the alarm was on, {len(waiting)} "
        f"messages waited in the outbox for {secs_on} s, none was added; all told {secs:.1f} s "
        "after the alarm began"
    )


def _stay(builder: BuilderProcess, secs: float) -> None:
    """Let the alarm last; the builder must live meanwhile."""
    deadline = time.monotonic() + secs
    while time.monotonic() < deadline:
        assert builder.process is not None
        assert builder.process.poll() is None, builder.log()
        time.sleep(0.2)


@pytest.mark.fault(20, "a builder is stopped while the alarm is on")
def test_a_builder_stops_during_an_alarm_and_the_next_one_tells(
    home: Path, start_builder: Start, client: Connect, node: PrivateNode, fault: Fault
) -> None:
    builder = start_builder(home)
    trainer = client()
    with alarm(node, "memory"):
        fault.injected()
        dataset_id = _ask_in_the_catalog(builder)  # by the broker nobody can ask now
        eventually(lambda: "takes no messages" in builder.log())
        assert _outbox(builder)
        started = time.monotonic()
        assert builder.stop() == 0
        stop_secs = time.monotonic() - started
        assert _outbox(builder), "kept for whoever comes next"
    again = start_builder(home)
    trainer.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(again, trainer)
    fault.saw(f"stopped within {stop_secs:.1f} s, exit 0; the next told {secs:.1f} s after")


def _ask_in_the_catalog(builder: BuilderProcess) -> str:
    request = Request.of("toy", "1.0.0", {})
    catalog = builder.catalog
    with catalog.write() as change:
        lifecycle.log_requests(change, [str(uuid.uuid4())], request.dataset_id)
        lifecycle.accept_new(change, request)
        lifecycle.wait_for(change, request.dataset_id, 1)
    catalog.close()
    return request.dataset_id
