"""Who subscribes late, or loses events, gets the answer all the same (33)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest

from datamill import topology
from datamill.broker_session import BrokerSession
from datamill.request import Request
from datamill.tracker import Tracker
from datamill_producer.rabbitmq import NodeFailed, PrivateNode
from tests.support.builder import Start
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.toy import write_items

NEVER_SECS = 3600.0
ANSWER_SECS = 60.0
Open = Callable[..., BrokerSession]


@pytest.fixture
def open_session(broker_url: str) -> Iterator[Open]:
    """Start the client's own sessions; without `repeat_secs`, asking again never comes to help."""
    opened: list[BrokerSession] = []

    def start(repeat_secs: float = NEVER_SECS) -> BrokerSession:
        opened.append(BrokerSession(broker_url, None, repeat_secs))
        return opened[-1]

    yield start
    for session in opened:
        session.close()


def tracker(prefix: str) -> Tracker:
    request = Request.of("toy", "1.0.0", {"prefix": prefix})
    return Tracker(request.dataset_id, request)


def answered(one: Tracker) -> bool:
    return one.wait_until(lambda: one.answered, ANSWER_SECS)


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.fault(33, "subscribing and asking at any moment of somebody else's build")
def test_asking_at_any_moment_of_a_build(
    home: Path,
    start_builder: Start,
    client: Connect,
    open_session: Open,
    fault: Fault,
    count: int,
) -> None:
    write_items(home / "raw", ["item"])
    builder = start_builder(home)
    other = client()
    session = open_session()
    assert other.wait(other.ask("toy", config={"prefix": "makes the environment"}))
    began = time.monotonic()
    assert other.wait(other.ask("toy", config={"prefix": "how long"}))["event"] == "ready"
    build_secs = time.monotonic() - began
    dice = random.Random(33)
    found = {"while it was built": 0, "when it was ready": 0}
    fault.injected()
    for number in range(count):
        one = tracker(f"{number} ")
        first = other.ask("toy", config={"prefix": f"{number} "})
        assert first == one.dataset_id
        # The moments at which the client does its two steps, from before the build to after it.
        other.listen(dice.uniform(0, 1.3) * build_secs)
        session.watch(one)
        other.listen(dice.choice([0.0, dice.uniform(0, 0.5) * build_secs]))
        ended = "ready" in other.seen(first)
        session.ask(one)
        assert answered(one), f"{number}: no answer; others saw {other.seen(first)}"
        assert one.ready is not None
        found["when it was ready" if ended else "while it was built"] += 1
    fault.recovered()
    assert all(found.values()), "the moments lie on both sides of the end"
    fault.watch(builder, other)
    fault.saw(
        f"{count} interleavings, all answered without asking twice: "
        + ", ".join(f"{number} {when}" for when, number in found.items())
    )


@pytest.mark.fault(33, "events lost: the client's connection broken while the build ends")
def test_a_client_that_was_away_while_the_build_ended(
    home: Path,
    start_builder: Start,
    client: Connect,
    open_session: Open,
    node: PrivateNode,
    fault: Fault,
) -> None:
    write_items(home / "raw", ["sleep 1.0", "item"])
    builder = start_builder(home)
    session = open_session()
    one = tracker("away")
    witness = client()  # before asking: it has to see the end
    session.ask(one)
    fault.injected()
    ids = _connections_of(node, "datamill client")
    deadline = time.monotonic() + ANSWER_SECS
    while "ready" not in witness.seen(one.dataset_id):
        assert time.monotonic() < deadline, "the build did not end"
        for connection in ids:
            _close(node, connection)
        witness.listen(0.1)
        ids = _connections_of(node, "datamill client")
    assert answered(one)
    secs = fault.recovered()
    assert one.ready is not None
    fault.watch(builder, witness)
    fault.saw(f"asked again by itself when it was back, answered {secs:.1f} s after")


@pytest.mark.fault(33, "events lost: the events exchange deleted, bindings with it")
def test_a_binding_that_somebody_takes_away(
    home: Path, start_builder: Start, client: Connect, open_session: Open, fault: Fault
) -> None:
    """Nothing tells a client that its queue is bound to nothing any more."""
    write_items(home / "raw", ["sleep 1.0", "item"])
    builder = start_builder(home)
    session = open_session(repeat_secs=1.0)
    one = tracker("unbound")
    session.ask(one)
    assert one.wait_until(lambda: one.planned is not None, ANSWER_SECS)
    connection = pika.BlockingConnection(pika.URLParameters(builder.broker_url))
    channel = connection.channel()
    channel.exchange_delete(topology.EVENTS_EXCHANGE)
    topology.declare(channel)
    connection.close()
    fault.injected()
    assert answered(one)
    secs = fault.recovered()
    assert one.ready is not None
    late = client()
    assert late.wait(late.ask("toy", config={"prefix": "unbound"}))["cached"] is True
    fault.watch(builder, late)
    fault.saw(f"bound and asked again, answered {secs:.1f} s after (asking again every second)")


def _connections_of(node: PrivateNode, name: str) -> list[str]:
    listed = node.ctl("list_connections", "-q", "--no-table-headers", "pid", "client_properties")
    return [line.split("\t")[0] for line in listed.splitlines() if name in line]


def _close(node: PrivateNode, connection: str) -> None:
    try:
        node.ctl("close_connection", connection, "a test")
    except NodeFailed as error:
        assert "not found" in str(error), "it may be gone already, no more"
