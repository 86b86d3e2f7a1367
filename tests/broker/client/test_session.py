"""The session against a real broker: nothing that can go wrong hangs a training."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from datamill import topology
from datamill.broker_session import BrokerSession
from datamill.errors import BrokerRefused, BrokerUnavailable, InvalidRequest
from datamill.events import Accepted, Event, Evicted, Ready
from datamill.request import Request
from datamill.tracker import Tracker
from datamill_producer.rabbitmq import PrivateNode
from tests.support.played_builder import Answer, PlayedBuilder

Play = Callable[[Answer], PlayedBuilder]
NEVER_SECS = 3600.0


def ready(request: Request) -> Ready:
    return Ready(
        dataset_id=request.dataset_id,
        content_key="0" * 64,
        archive="a.zip",
        url="http://127.0.0.1:9/a.zip",
        bytes=1,
        sha256="0" * 64,
        records=1,
        shards=1,
        cached=True,
    )


def tracker(number: int = 0) -> Tracker:
    request = Request.of("toy", "1.0.0", {"number": number})
    return Tracker(request.dataset_id, request)


@pytest.fixture
def open_session(broker_url: str) -> Iterator[Callable[..., BrokerSession]]:
    opened: list[BrokerSession] = []

    def start(repeat_secs: float = NEVER_SECS, url: str = broker_url) -> BrokerSession:
        opened.append(BrokerSession(url, None, repeat_secs))
        return opened[-1]

    yield start
    for session in opened:
        session.close()


def answered(tracker: Tracker, timeout: float = 20.0) -> bool:
    return tracker.wait_until(lambda: tracker.answered, timeout)


def test_200_answers_that_race_the_one_who_asks(
    play: Play, open_session: Callable[..., BrokerSession]
) -> None:
    """The builder answers at once, or just before, or twice; asking again never comes to help."""
    session = open_session()
    builder = play(lambda request, _id: [ready(request)] * (1 + len(request.dataset_id) % 2))
    for number in range(200):
        one = tracker(number)
        if number % 3 == 0:
            builder.publish(ready(Request.of("toy", "1.0.0", {"number": number})))
        session.ask(one)
        assert answered(one), number
    assert len(builder.requests) == 200


def test_50_threads_at_once(play: Play, open_session: Callable[..., BrokerSession]) -> None:
    session = open_session()
    play(lambda request, _id: [ready(request)])
    trackers = [tracker(number % 10) for number in range(50)]
    threads = [threading.Thread(target=session.ask, args=(one,)) for one in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert all(answered(one) for one in trackers)


def test_a_missed_event_is_asked_for_again_under_the_same_message_id(
    play: Play, open_session: Callable[..., BrokerSession]
) -> None:
    seen: list[str] = []

    def answer_the_third(request: Request, message_id: str) -> list[Event]:
        seen.append(message_id)
        return [ready(request)] if len(seen) == 3 else []

    play(answer_the_third)
    one = tracker()
    open_session(repeat_secs=0.1).ask(one)
    assert answered(one)
    assert seen == [one.message_id] * 3


def test_who_asks_is_said_each_time(broker_url: str, play: Play) -> None:
    builder = play(lambda request, _id: [ready(request)] if len(builder.requests) == 2 else [])
    for client in ("ada", None):
        session = BrokerSession(broker_url, None, repeat_secs=0.1, client=client)
        one = tracker()
        session.ask(one)
        assert answered(one)
        session.close()
        assert [(each or {}).get("datamill-client") for each in builder.headers] == [client] * 2
        builder.headers.clear()
        builder.requests.clear()


def test_an_answered_request_is_not_repeated(
    play: Play, open_session: Callable[..., BrokerSession]
) -> None:
    """Not even after the dataset was evicted: nobody waits for it any more."""
    session = open_session(repeat_secs=0.05)
    builder = play(lambda request, _id: [ready(request)])
    one, other = tracker(1), tracker(2)
    session.ask(one)
    assert answered(one)
    builder.publish(Evicted(dataset_id=one.dataset_id, content_key="0" * 64))
    assert one.wait_until(lambda: not one.answered, 20)
    count = len(builder.requests)
    builder.answer = lambda request, _id: []
    session.ask(other)
    deadline = time.monotonic() + 20
    while sum(request == other.request for request, _id in builder.requests) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert all(request == other.request for request, _id in builder.requests[count:])


def test_connections_that_the_broker_closes(
    play: Play, open_session: Callable[..., BrokerSession], node: PrivateNode, broker_url: str
) -> None:
    """The session comes back with a new queue, the old bindings, and asks again by itself."""
    session = open_session()
    one = tracker()
    with PlayedBuilder(broker_url, lambda request, _id: []) as first:
        session.ask(one)
        deadline = time.monotonic() + 20
        while not first.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        message_id = first.requests[0][1]
    vhost = broker_url.rsplit("/", 1)[1]
    node.ctl("close_all_connections", "--vhost", vhost, "a test")
    second = play(lambda request, _id: [ready(request)])
    assert answered(one)
    assert second.requests[0][1] == message_id
    other = tracker(2)
    session.ask(other)
    assert answered(other)


def test_a_queue_that_somebody_deletes(
    play: Play, open_session: Callable[..., BrokerSession], node: PrivateNode, broker_url: str
) -> None:
    session = open_session()
    builder = play(lambda request, _id: [])
    one = tracker()
    session.ask(one)
    vhost = broker_url.rsplit("/", 1)[1]
    listed = node.ctl("list_queues", "-q", "--no-table-headers", "-p", vhost, "name")
    mine = next(name for name in listed.split() if name.startswith("amq.gen"))
    builder.answer = lambda request, _id: [ready(request)]
    node.ctl("delete_queue", "-p", vhost, mine)
    assert answered(one)


def test_nobody_has_declared_anything_yet(
    node: PrivateNode, open_session: Callable[..., BrokerSession]
) -> None:
    """The request waits in the queue for the first builder."""
    url = node.add_vhost("untouched")
    one = tracker()
    session = open_session(url=url)
    session.ask(one)
    with PlayedBuilder(url, lambda request, _id: [ready(request)]):
        assert answered(one)
    session.close()
    node.delete_vhost("untouched")


def test_the_requests_queue_was_deleted(
    broker_url: str, open_session: Callable[..., BrokerSession]
) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    topology.declare(channel)
    channel.queue_delete(topology.REQUESTS_QUEUE)
    connection.close()
    one = tracker()
    open_session().ask(one)
    with PlayedBuilder(broker_url, lambda request, _id: [ready(request)]):
        assert answered(one)


def test_a_user_who_may_only_ask_and_listen(
    play: Play,
    open_session: Callable[..., BrokerSession],
    node: PrivateNode,
    broker_url: str,
) -> None:
    """The rights of a trainer: no declaring of anything but queues of its own."""
    vhost = broker_url.rsplit("/", 1)[1]
    play(lambda request, _id: [ready(request)])
    node.ctl("add_user", "trainer", "secret")
    try:
        mine = "^amq\\.gen-.*$"
        rights = (mine, "^(amq\\.gen-.*|dataset\\.requests)$", "^(amq\\.gen-.*|dataset\\.events)$")
        node.ctl("set_permissions", "-p", vhost, "trainer", *rights)
        one = tracker()
        url = f"amqp://trainer:secret@127.0.0.1:{node.ports['amqp']}/{vhost}"
        open_session(url=url).ask(one)
        assert answered(one)
    finally:
        node.ctl("delete_user", "trainer")


def test_a_wrong_password_is_said_at_once(
    open_session: Callable[..., BrokerSession], node: PrivateNode
) -> None:
    session = open_session(url=f"amqp://nobody:wrong@127.0.0.1:{node.ports['amqp']}/")
    started = time.monotonic()
    with pytest.raises(BrokerRefused, match="password"):
        session.ask(tracker())
    assert time.monotonic() - started < 10


def test_a_login_that_is_taken_away_hangs_nobody(
    open_session: Callable[..., BrokerSession], node: PrivateNode, broker_url: str
) -> None:
    vhost = broker_url.rsplit("/", 1)[1]
    node.ctl("add_user", "guest worker", "secret")
    node.ctl("set_permissions", "-p", vhost, "guest worker", ".*", ".*", ".*")
    url = f"amqp://guest%20worker:secret@127.0.0.1:{node.ports['amqp']}/{vhost}"
    session = open_session(url=url)
    one = tracker()
    session.ask(one)
    events = session.subscribe("dataset.*.*")
    node.ctl("delete_user", "guest worker")
    node.ctl("close_all_connections", "--vhost", vhost, "a test")
    assert one.wait_until(lambda: one.settled, 20)
    assert isinstance(one.error, BrokerRefused)
    assert isinstance(session.broken, BrokerRefused)
    assert list(events) == []


def test_no_broker_is_said_at_once(open_session: Callable[..., BrokerSession]) -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:9 .*refused"):
        open_session(url="amqp://127.0.0.1:9/").ask(tracker())
    assert time.monotonic() - started < 5


def test_bindings_of_what_nobody_refers_to_go(
    play: Play,
    open_session: Callable[..., BrokerSession],
    node: PrivateNode,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datamill.broker_session._IDLE_SECS", 0.05)
    session = open_session()
    play(lambda request, _id: [ready(request)])
    kept, dropped = tracker(1), tracker(2)
    for one in (kept, dropped):
        session.ask(one)
        assert answered(one)
    key, gone = f"dataset.*.{kept.dataset_id}", f"dataset.*.{dropped.dataset_id}"
    del dropped, one
    vhost = broker_url.rsplit("/", 1)[1]
    deadline = time.monotonic() + 20
    while gone in (bindings := node.ctl("list_bindings", "-p", vhost, "routing_key").split()):
        assert time.monotonic() < deadline
    assert key in bindings


def test_subscribing(play: Play, open_session: Callable[..., BrokerSession]) -> None:
    session = open_session()
    builder = play(lambda request, _id: [])
    requests = [Request.of("toy", "1.0.0", {"number": number}) for number in range(3)]
    with session.subscribe("dataset.ready.*") as events:
        one = session.subscribe(f"dataset.*.{requests[2].dataset_id}")
        for request in requests:
            accepted = Accepted(dataset_id=request.dataset_id, state="queued", waiting=1, ahead=0)
            builder.publish(accepted, ready(request))
        assert [next(events).dataset_id for _ in requests] == [r.dataset_id for r in requests]
        assert [next(one).event, next(one).event] == ["accepted", "ready"]
        one.close()
        assert list(one) == []
    with pytest.raises(StopIteration):
        next(events)
    with pytest.raises(InvalidRequest):
        session.subscribe("#")


def test_closing_ends_a_reader_that_waits(open_session: Callable[..., BrokerSession]) -> None:
    session = open_session()
    events = session.subscribe("dataset.*.*")
    read: list[Any] = []
    reader = threading.Thread(target=lambda: read.extend(events))
    reader.start()
    session.close()
    reader.join(10)
    assert not reader.is_alive()
    assert read == []


def _child(url: str, results: Any) -> None:
    from datamill.runfile import Service
    from datamill.sessions import close_sessions, session_for

    one = tracker(2)
    session_for(Service(url, None)).ask(one)
    results.put((os.getpid(), answered(one)))
    close_sessions()


def test_a_forked_child_has_a_session_of_its_own(play: Play, broker_url: str) -> None:
    from datamill.runfile import Service
    from datamill.sessions import close_sessions, session_for

    builder = play(lambda request, _id: [ready(request)])
    session = session_for(Service(broker_url, None))
    one = tracker(1)
    session.ask(one)
    assert answered(one)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_child, args=(broker_url, results))
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads: just what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    pid, answer = results.get()
    child.join(20)
    assert (pid != os.getpid(), answer, child.exitcode) == (True, True, 0)
    other = tracker(3)
    session.ask(other)  # the child has not disturbed the parent's connections
    assert answered(other)
    assert len(builder.requests) == 3
    close_sessions()


def test_an_interpreter_ends_by_itself(play: Play, broker_url: str) -> None:
    """With a session open, and a dataset still waited for by nobody."""
    play(lambda request, _id: [])
    code = (
        "import datamill; d = datamill.request_dataset('toy', '1.0.0', {}); "
        "import threading; print(sum(not t.daemon for t in threading.enumerate()))"
    )
    environment = {**os.environ, "DATAMILL_BROKER_URL": broker_url}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("1", "")
