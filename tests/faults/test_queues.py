"""Queues that are not as they should be (faults 21, 22, 25 and 26)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from sqlalchemy import select

from datamill import exits, topology
from datamill.broker import Publisher
from datamill.broker_session import BrokerSession
from datamill.errors import BrokerBusy, ServiceUnavailable, Unroutable
from datamill.request import Request
from datamill.tracker import Tracker
from datamill_builder.catalog import schema
from datamill_producer.rabbitmq import PrivateNode
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect, PlainClient
from tests.support.notifier import StartNotifier
from tests.support.toy import write_items
from tests.support.vhosts import vhost_of

SHARDS = next(queue for queue in topology.QUEUES if queue.name == topology.SHARDS_QUEUE)
AT_ONCE_SECS = 10.0
"""An answer within so long did not wait for any of our timeouts, even on a busy machine."""


def tracker(**config: int) -> Tracker:
    request = Request.of("toy", "1.0.0", config)
    return Tracker(request.dataset_id, request)


# --- 21: queues deleted ---------------------------------------------------------------------------


@pytest.mark.fault(21, "every queue deleted while a build goes on")
def test_deleting_every_queue_costs_only_time(
    home: Path,
    start_builder: Start,
    client: Connect,
    node: PrivateNode,
    broker_url: str,
    fault: Fault,
) -> None:
    write_items(home / "raw", ["sleep 0.25"] * 40)
    builder = start_builder(home)
    trainer = client()
    session = BrokerSession(broker_url, None)
    ours = tracker()
    session.ask(ours)
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    fault.injected()
    gone = _delete_queues(node, broker_url, keep=trainer.queue)
    assert len(gone) == len(topology.QUEUES) + 1, "the client's own is among them"
    assert "ready" not in trainer.seen(dataset_id)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    # The library's own queue went too: it listens again, and asks again.
    assert ours.wait_until(lambda: ours.answered, 60)
    session.close()
    fault.watch(builder, trainer)
    assert ready["records"] == 40
    listed = _queues(node, broker_url)
    assert {queue.name for queue in topology.QUEUES} <= listed, "declared again"
    fault.saw(f"{len(gone)} queues were declared anew, tasks put back, ready {secs:.1f} s after")


def _queues(node: PrivateNode, broker_url: str) -> set[str]:
    vhost = vhost_of(broker_url)
    return set(node.ctl("list_queues", "-p", vhost, "--no-table-headers", "name").split())


def _delete_queues(node: PrivateNode, broker_url: str, keep: str) -> set[str]:
    listed = _queues(node, broker_url) - {keep}
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        for queue in topology.QUEUES:
            channel.queue_delete(queue.name)
    for name in listed - {queue.name for queue in topology.QUEUES}:
        node.ctl("delete_queue", "-p", vhost_of(broker_url), name)  # exclusive: of others
    return listed


# --- 22: queues of another kind -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected", "actual"),
    [
        pytest.param(
            {**SHARDS.arguments, "x-queue-type": "quorum", "x-delivery-limit": 3},
            "'20'",
            "'3'",
            id="limit",
        ),
        pytest.param({}, "'dataset.dlx'", "current is none", id="nothing dead-lettered"),
    ],
)
@pytest.mark.fault(22, "a queue exists with other arguments")
def test_a_queue_of_another_kind_is_named(
    home: Path,
    broker_url: str,
    fault: Fault,
    arguments: dict[str, object],
    expected: str,
    actual: str,
) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_declare(SHARDS.name, durable=True, arguments=arguments)
    fault.injected()
    code, said, log = _ended(home, broker_url)
    secs = fault.recovered()
    assert code == exits.EX_CONFIG
    assert said.count("\n") == 1, said
    for word in (SHARDS.name, expected, actual):
        assert word in said
    assert "trying again" not in log
    fault.saw(f"exit {code} after {secs:.1f} s: {said.split('; ')[0].split(': ', 2)[2][:120]}")


def _ended(home: Path, broker_url: str) -> tuple[int, str, str]:
    """Run a builder that ends by itself; return its exit code, its last words, its log."""
    builder = BuilderProcess(home, broker_url)
    builder.launch()
    assert builder.process is not None
    code = builder.process.wait(60)
    log = builder.log()
    return code, log[log.index("datamill builder: ") :], log


# --- 25: the queue is full ------------------------------------------------------------------------


@pytest.mark.fault(25, "the queue of requests is full")
def test_a_full_queue_says_busy_and_keeps_nothing(
    home: Path,
    start_builder: Start,
    start_notifier: StartNotifier,
    client: Connect,
    node: PrivateNode,
    broker_url: str,
    fault: Fault,
) -> None:
    start_builder(home).stop()  # it has declared the queues
    notifier = start_notifier()
    node.ctl("set_policy", "-p", vhost_of(broker_url), "small", "requests", '{"max-length": 5}')
    confirmed, refused, secs = _fill(broker_url)
    fault.injected()
    body = Request.of("toy", "1.0.0", {"max_items": 7}).encode()
    answer = notifier.ask("/requests", "POST", body)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "takes no messages" in answer.document["message"]
    done = _ask_by_command(home, broker_url)
    assert done.returncode == exits.EX_UNAVAILABLE
    assert "try later" in done.stderr
    node.ctl("clear_policy", "-p", vhost_of(broker_url), "small")
    builder = start_builder(home)
    trainer = client()
    trainer.wait(trainer.ask("toy"))
    recovered = fault.recovered()
    fault.watch(builder, trainer)
    accepted = _message_ids(builder)
    assert confirmed <= accepted, "what was confirmed is kept"
    assert not refused & accepted, "what was refused is in no log, and can't be replayed"
    assert len(accepted) == len(confirmed) + 1, "nothing half-recorded"
    fault.saw(
        f"{len(confirmed)} confirmed and kept, {len(refused)} refused as busy in {secs:.2f} s each "
        f"and logged nowhere; HTTP 503 with Retry-After; all well {recovered:.1f} s after"
    )


def _ask_by_command(home: Path, broker_url: str) -> subprocess.CompletedProcess[str]:
    settings = {"DATAMILL_HOME": str(home), "DATAMILL_BROKER_URL": broker_url}
    return subprocess.run(
        [sys.executable, "-m", "datamill_producer", "request", "toy", "1.0.0"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _fill(broker_url: str) -> tuple[set[str], set[str], float]:
    """Ask until the broker has refused ten times; return the ids of both kinds, secs a refusal."""
    confirmed: set[str] = set()
    refused: set[str] = set()
    waited_secs = 0.0
    key, body = topology.request_key("toy"), Request.of("toy", "1.0.0", {}).encode()
    with Publisher(broker_url) as publisher:
        while len(refused) < 10:
            message_id = str(uuid.uuid4())
            started = time.monotonic()
            try:
                publisher.publish(topology.REQUESTS_EXCHANGE, key, body, message_id)
                confirmed.add(message_id)
            except BrokerBusy:
                waited_secs += time.monotonic() - started
                refused.add(message_id)
            assert len(confirmed) < 1000
    return confirmed, refused, waited_secs / len(refused)


def _message_ids(builder: BuilderProcess) -> set[str]:
    catalog = builder.catalog
    with catalog.read() as connection:
        ids = set(connection.scalars(select(schema.requests.c.message_id)))
    catalog.close()
    return ids


# --- 26: nobody takes requests --------------------------------------------------------------------


@pytest.fixture
def unbound(broker_url: str) -> Iterator[PlainClient]:
    """The exchanges are there, the queue of requests is not."""
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        topology.declare(channel)
        channel.queue_delete(topology.REQUESTS_QUEUE)
    trainer = PlainClient(broker_url)
    yield trainer
    trainer.close()


@pytest.mark.fault(26, "the exchange of events deleted, and all bindings with it")
def test_a_client_that_lost_its_binding_gets_it_back(
    home: Path, start_builder: Start, broker_url: str, fault: Fault
) -> None:
    write_items(home / "raw", ["sleep 0.5"] * 40)
    builder = start_builder(home)
    session, one = BrokerSession(broker_url, None, repeat_secs=2.0), tracker()
    session.ask(one)
    assert one.wait_until(lambda: one.planned is not None, 60)
    _delete_exchanges(broker_url, topology.EVENTS_EXCHANGE)
    fault.injected()
    known = set(one.shards)
    assert one.wait_until(lambda: one.ready is not None, 120)
    secs = fault.recovered()
    assert set(one.shards) > known, "it heard of more than the end"
    session.close()
    fault.watch(builder)
    fault.saw(f"declared again by the builder, bound again by the client; ready {secs:.1f} s after")


@pytest.mark.long
@pytest.mark.fault(26, "exchanges and the queue of dead letters deleted; nothing tells")
def test_what_nobody_misses_is_declared_again(
    home: Path, start_builder: Start, client: Connect, broker_url: str, fault: Fault
) -> None:
    builder = start_builder(home)
    _delete_exchanges(broker_url, topology.REQUESTS_EXCHANGE, topology.DEAD_EXCHANGE)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_delete(topology.DEAD_QUEUE)
    fault.injected()
    eventually(lambda: _takes_requests(broker_url))
    secs = fault.recovered()
    trainer = client()
    trainer.wait(trainer.ask("toy"))
    trainer.send(b"this is no request")
    eventually(lambda: trainer.depth(topology.DEAD_QUEUE) == 1)
    fault.watch(builder, trainer)
    fault.saw(f"declared and bound again after {secs:.1f} s; a bad message was kept as dead letter")


def _delete_exchanges(url: str, *names: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        for name in names:
            connection.channel().exchange_delete(name)


def _takes_requests(url: str) -> bool:
    body = Request.of("toy", "1.0.0", {}).encode()
    try:
        with Publisher(url) as publisher:
            publisher.publish(topology.REQUESTS_EXCHANGE, topology.request_key("toy"), body)
    except ServiceUnavailable:
        return False
    return True


def _trainer(node: PrivateNode, vhost: str, user: str) -> str:
    """Make a user with the rights of a trainer, who may declare nothing but its own queues."""
    node.ctl("add_user", user, "secret")
    node.ctl(
        "set_permissions",
        *("-p", vhost, user),
        "^amq\\.gen-.*$",
        "^(amq\\.gen-.*|dataset\\.requests)$",
        "^(amq\\.gen-.*|dataset\\.events)$",
    )
    return f"amqp://{user}:secret@127.0.0.1:{node.ports['amqp']}/{vhost}"


@pytest.mark.fault(26, "no queue is bound, and the client may not declare one")
def test_a_request_that_nobody_takes_is_an_error_at_once(
    unbound: PlainClient, node: PrivateNode, broker_url: str, fault: Fault
) -> None:
    with pytest.raises(pika.exceptions.UnroutableError):
        unbound.ask("toy")
    session = BrokerSession(_trainer(node, vhost_of(broker_url), "asker"), None)
    try:
        fault.injected()
        with pytest.raises(Unroutable, match="start a builder"):
            session.ask(tracker())
        secs = fault.recovered()
        assert secs < AT_ONCE_SECS
    finally:
        session.close()
        node.ctl("delete_user", "asker")
    fault.saw(f"`Unroutable`, with what to do, after {secs:.2f} s")


@pytest.mark.fault(26, "no queue is bound; who may declares it, library and HTTP")
def test_who_may_declares_the_queue_and_goes_on(
    unbound: PlainClient,
    home: Path,
    start_builder: Start,
    start_notifier: StartNotifier,
    broker_url: str,
    fault: Fault,
) -> None:
    session = BrokerSession(broker_url, None)
    one = tracker()
    fault.injected()
    session.ask(one)
    assert fault.recovered() < AT_ONCE_SECS
    notifier = start_notifier()
    eventually(lambda: notifier.ask("/readyz").status == 200 or 'broker": true' in notifier.log())
    unbound._channel.queue_delete(topology.REQUESTS_QUEUE)
    body = Request.of("toy", "1.0.0", {"max_items": 3}).encode()
    assert notifier.ask("/requests", "POST", body).status == 202
    builder = start_builder(home)
    dataset_id = unbound.ask("toy", config={"max_items": 3})
    unbound.wait(dataset_id)
    secs = fault.recovered()
    fault.watch(builder, unbound)
    session.close()
    assert Request.of("toy", "1.0.0", {"max_items": 3}).dataset_id == dataset_id
    fault.saw(f"both declared the queue and were confirmed; ready {secs:.1f} s after")
