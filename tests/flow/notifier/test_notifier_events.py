"""Events and requests over HTTP, through a real broker."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

import aiohttp
import pika
import pytest

from datamill import topology
from datamill.events import Accepted, Event, Failed, Progress, Reason
from datamill.http_session import HttpSession
from datamill.request import Request
from datamill_notifier.hub import BACKLOG
from datamill_producer.rabbitmq import PrivateNode
from tests.support.catalog_steps import Steps
from tests.support.notifier import NotifierProcess

WAIT_SECS = 20.0


@pytest.fixture(scope="module")
def vhost_url(node: PrivateNode) -> Iterator[str]:
    url = node.add_vhost("notifier-events")
    yield url
    node.delete_vhost("notifier-events")


@pytest.fixture(scope="module")
def notifier(home: Any, vhost_url: str) -> Iterator[NotifierProcess]:
    """A notifier with a broker."""
    process = NotifierProcess(home, vhost_url).start()
    wait_until_ready(process)
    yield process
    assert process.stop() == 0, process.log()
    assert "not foreseen" not in process.log()
    assert "Traceback" not in process.log()


def wait_until_ready(process: NotifierProcess) -> None:
    deadline = time.monotonic() + WAIT_SECS
    while process.ask("/readyz").status != 200:
        assert time.monotonic() < deadline, process.log()
        time.sleep(0.05)


@pytest.fixture
def publish(vhost_url: str) -> Iterator[Callable[..., None]]:
    """Publish events as a builder does; returns once the broker has them."""
    with pika.BlockingConnection(pika.URLParameters(vhost_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()

        def send(event: Event, body: bytes | None = None, message_id: str = "m-1") -> None:
            channel.basic_publish(
                topology.EVENTS_EXCHANGE,
                event.routing_key,
                event.encode() if body is None else body,
                pika.BasicProperties(message_id=message_id),
            )

        yield send


def progress(dataset_id: str, done: int = 0) -> Progress:
    return Progress(
        dataset_id=dataset_id,
        shards_done=done,
        shards=9,
        records_done=0,
        records_per_sec=0.0,
        secs_left=None,
    )


Fields = dict[str, str]


@contextmanager
def stream(
    notifier: NotifierProcess, query: str = "", after: str | None = None
) -> Iterator[Iterator[Fields]]:
    """Server-sent events, one dict of fields each; ready when the first bytes are there."""
    with stream_from_its_beginning(notifier, query, after) as (_beginning, events):
        yield events


@contextmanager
def stream_from_its_beginning(
    notifier: NotifierProcess, query: str = "", after: str | None = None
) -> Iterator[tuple[Fields, Iterator[Fields]]]:
    connection = notifier.connect()
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    connection.request("GET", f"/events{query}", headers=headers)
    with closing(connection), connection.getresponse() as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        events = _fields(response)
        beginning = next(events)
        assert beginning["retry"]
        yield beginning, events


def _fields(response: http.client.HTTPResponse) -> Iterator[Fields]:
    fields: Fields = {}
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if not name and fields:
            yield fields
            fields = {}
        elif name:
            fields[name] = fields[name] + "\n" + value if name in fields else value


@asynccontextmanager
async def socket(
    notifier: NotifierProcess, query: str = "", **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{notifier.url}/events{query}", **options) as opened,
    ):
        yield opened


async def received(opened: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads(await asyncio.wait_for(opened.receive_str(), WAIT_SECS))


# --- server-sent events ---------------------------------------------------------------------------


def test_a_stream_of_one_dataset(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    wanted, other = steps().dataset_id, steps().dataset_id
    with stream(notifier, f"?dataset={wanted}") as events:
        publish(progress(other))
        publish(progress(wanted, 1), message_id="the-id")
        event = next(events)
    assert (event["id"], event["event"]) == ("the-id", "progress")
    document = json.loads(event["data"])
    assert (document["dataset_id"], document["shards_done"]) == (wanted, 1)


def test_a_stream_of_several_and_of_all(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    ids = [steps().dataset_id for _ in range(3)]
    with (
        stream(notifier, f"?dataset={ids[0]}&dataset={ids[1]}") as two,
        stream(notifier) as everything,
    ):
        for dataset_id in reversed(ids):
            publish(progress(dataset_id))
        assert [json.loads(next(two)["data"])["dataset_id"] for _ in range(2)] == [ids[1], ids[0]]
        seen = [json.loads(next(everything)["data"])["dataset_id"] for _ in range(3)]
        assert seen == ids[::-1]


def test_the_state_comes_first(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    ready, failed, building = steps().ready(), steps(), steps()
    failed.accepted().refused("no such option")
    building.accepted().resolved().planned()
    evicted = steps().ready().evicted()

    def first(made: Steps, count: int = 1) -> list[Any]:
        with stream(notifier, f"?dataset={made.dataset_id}") as events:
            return [json.loads(next(events)["data"]) for _ in range(count)]

    (said,) = first(ready)
    assert said["event"] == "ready"
    assert said["url"] == f"{notifier.url}/datasets/{ready.archive.name}"
    (said,) = first(failed)
    assert (said["event"], said["message"]) == ("failed", "no such option")
    accepted, planned = first(building, 2)
    assert (accepted["event"], accepted["state"], accepted["waiting"]) == (
        "accepted",
        "building",
        1,
    )
    assert (planned["event"], planned["shards"]) == ("planned", 2)
    (said,) = first(evicted)
    assert said["event"] == "evicted"


def test_what_is_no_event_is_left_out(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    dataset_id = steps().dataset_id
    with stream(notifier, f"?dataset={dataset_id}") as events:
        for body in (b"", b"{", b"\xff", b'{"event": "unheard-of"}'):
            publish(progress(dataset_id), body)
        pretty = json.dumps(progress(dataset_id, 7).model_dump(), indent=1).encode()
        publish(progress(dataset_id), pretty, message_id="a\nevent: forged")
        event = next(events)
    assert event["event"] == "progress"
    assert event["id"] == "-"
    assert json.loads(event["data"])["shards_done"] == 7


def test_a_stream_of_a_thousand_datasets(
    notifier: NotifierProcess, publish: Callable[..., None]
) -> None:
    ids = [f"{number:064x}" for number in range(1, 1002)]
    query = "&".join(f"dataset={each}" for each in ids)
    with stream(notifier, f"?{query.rpartition('&')[0]}") as events:
        publish(progress(ids[999], 7))
        assert json.loads(next(events)["data"])["shards_done"] == 7
    assert notifier.ask(f"/events?{query}").status == 400


@pytest.mark.parametrize(
    "query", ["?dataset=x", f"?dataset={'F' * 64}", "?dataset=", f"?dataset={'0' * 64}%0a"]
)
def test_ids_are_checked(notifier: NotifierProcess, query: str) -> None:
    answer = notifier.ask(f"/events{query}")
    assert (answer.status, answer.document["error"]) == (400, "invalid_request")


# --- coming back ----------------------------------------------------------------------------------


def test_who_comes_back_gets_what_it_missed(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    made, other = steps().accepted(), steps()
    query = f"?dataset={made.dataset_id}"
    with stream(notifier, query) as events:
        assert "id" not in (state := next(events)), "what was seen last stays what it was"
        assert state["event"] == "accepted"
        publish(progress(made.dataset_id, 1), message_id="back-1")
        assert next(events)["id"] == "back-1"
    for number in (2, 3):
        publish(progress(made.dataset_id, number), message_id=f"back-{number}")
        publish(progress(other.dataset_id, number), message_id=f"other-{number}")
    with stream_from_its_beginning(notifier, query, after="back-1") as (beginning, events):
        assert "id" not in beginning, "older events follow"
        assert [next(events)["id"] for _ in range(2)] == ["back-2", "back-3"]
        publish(progress(made.dataset_id, 4), message_id="back-4")
        assert next(events)["id"] == "back-4"
    with stream(notifier, after="back-2") as everything:
        seen = [next(everything)["id"] for _ in range(4)]
        assert seen == ["other-2", "back-3", "other-3", "back-4"]


def test_a_position_that_is_not_known_gets_the_state(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().ready()
    with stream(notifier, f"?dataset={made.dataset_id}", after="unheard-of") as events:
        assert next(events)["event"] == "ready"


def test_a_short_stream_says_where_it_began_and_ends(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    dataset_id = steps().dataset_id
    with stream_from_its_beginning(notifier, "?secs=0") as (beginning, events):
        assert list(events) == []
    publish(progress(dataset_id, 1), message_id="short-1")
    with stream_from_its_beginning(notifier, "?secs=0.5", beginning["id"]) as (_, events):
        assert [event["id"] for event in events] == ["short-1"]
    with stream_from_its_beginning(notifier, "?secs=0", "short-1") as (again, events):
        assert list(events) == []
        assert again["id"] == "short-1"
    for wrong in ("-1", "x", "1e9", "99999999"):
        assert notifier.ask(f"/events?secs={wrong}").status == 400


def test_after_a_restart_the_state_is_told(
    home: Any, vhost_url: str, steps: Callable[..., Steps]
) -> None:
    made = steps().accepted().resolved().planned()
    query = f"?dataset={made.dataset_id}"
    process = NotifierProcess(home, vhost_url, DATAMILL_LISTEN="127.0.0.1:0").start()
    with stream_from_its_beginning(process, query) as (beginning, _events):
        position = beginning["id"]
    process.kill()
    made.shards_made().packed()
    process.start()
    try:
        with stream(process, query, after=position) as events:
            assert next(events)["event"] == "ready"

        async def scenario() -> None:
            async with socket(process, query) as opened:
                assert (await received(opened))["event"] == "ready"

        asyncio.run(scenario())
    finally:
        process.stop()


def test_after_events_may_have_been_missed_no_position_is_known(
    notifier: NotifierProcess,
    node: PrivateNode,
    steps: Callable[..., Steps],
    vhost_url: str,
) -> None:
    made = steps().accepted()
    query = f"?dataset={made.dataset_id}"
    event = progress(made.dataset_id)
    with (
        stream(notifier, query) as events,
        pika.BlockingConnection(pika.URLParameters(vhost_url)) as connection,
    ):
        assert next(events)["event"] == "accepted"
        named = pika.BasicProperties(message_id="before-the-gap")
        place = (topology.EVENTS_EXCHANGE, event.routing_key)
        connection.channel().basic_publish(*place, event.encode(), named)
        assert next(events)["id"] == "before-the-gap"
    with stream(notifier, f"{query}&secs=0.1", after="before-the-gap") as events:
        assert list(events) == [], "nothing was missed"
    node.ctl("close_all_connections", "-p", "notifier-events", "for a test")
    deadline = time.monotonic() + WAIT_SECS
    while True:
        with stream(notifier, f"{query}&secs=0.1", after="before-the-gap") as events:
            if [event["event"] for event in events] == ["accepted"]:
                break
        assert time.monotonic() < deadline
    wait_until_ready(notifier)


def test_a_web_socket_that_comes_back_is_told_the_state(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    made = steps().accepted().resolved().planned()
    query = f"?dataset={made.dataset_id}"

    async def scenario() -> None:
        async with socket(notifier, query) as opened:
            assert [(await received(opened))["event"] for _ in range(2)] == ["accepted", "planned"]
        made.shards_made().packed()
        async with socket(notifier, query) as opened:
            assert (await received(opened))["event"] == "ready"
            await asyncio.to_thread(publish, progress(made.dataset_id, 7), message_id="socket-7")
            assert (await received(opened))["shards_done"] == 7
        # As for streams, where a client says what it saw last.
        publish(progress(made.dataset_id, 8), message_id="socket-8")
        async with socket(notifier, query, headers={"Last-Event-ID": "socket-7"}) as opened:
            assert (await received(opened))["shards_done"] == 8

    asyncio.run(scenario())


def test_the_state_tells_how_fast_a_build_is(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    made = steps().accepted().resolved().planned()
    told = progress(made.dataset_id, 1).model_copy(update={"records_per_sec": 12.5})
    with stream(notifier, f"?dataset={made.dataset_id}") as events:
        assert [next(events)["event"] for _ in range(2)] == ["accepted", "planned"]
        publish(told, message_id="fast-1")
        assert next(events)["id"] == "fast-1"
        state = notifier.ask(f"/datasets/{made.dataset_id}").document
        assert state["progress"] == told.model_dump(mode="json")
    assert notifier.ask(f"/datasets/{steps().ready().dataset_id}").document["progress"] is None


# --- WebSocket ------------------------------------------------------------------------------------


def test_a_web_socket(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    made = steps().accepted()
    failure = Failed(
        dataset_id=made.dataset_id, reason=Reason.BAD_DATA, message="é", retryable=False
    )

    async def scenario() -> None:
        async with socket(notifier, f"?dataset={made.dataset_id}") as opened:
            assert (await received(opened))["event"] == "accepted"
            await opened.send_str("whatever")  # is for nobody
            await asyncio.to_thread(publish, failure)
            assert await received(opened) == failure.model_dump(mode="json")

    asyncio.run(scenario())


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1:1", "http://["])
def test_pages_of_other_sites_can_not_listen(notifier: NotifierProcess, origin: str) -> None:
    async def scenario() -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with socket(notifier, headers={"Origin": origin}):
                pass
        assert refused.value.status == 403

    asyncio.run(scenario())


def test_pages_of_this_server_can_listen(notifier: NotifierProcess) -> None:
    async def scenario() -> None:
        for origin in (notifier.url, notifier.url.replace("127.0.0.1", "localhost")):
            async with socket(notifier, headers={"Origin": origin}) as opened:
                assert not opened.closed

    asyncio.run(scenario())


def test_who_takes_nothing_is_dropped_and_holds_up_nobody(
    notifier: NotifierProcess, steps: Callable[..., Steps], publish: Callable[..., None]
) -> None:
    dataset_id = steps().dataset_id
    long = Failed(
        dataset_id=dataset_id, reason=Reason.INTERNAL, message="x" * 20_000, retryable=False
    )
    count = 2 * BACKLOG

    async def scenario() -> None:
        deaf = notifier.connect()
        deaf.request("GET", f"/events?dataset={dataset_id}")
        deaf_response = deaf.getresponse()
        assert deaf_response.status == 200
        async with socket(notifier, f"?dataset={dataset_id}") as opened:

            def flood() -> None:
                for _ in range(count):
                    publish(long)

            flooding = asyncio.create_task(asyncio.to_thread(flood))
            for _ in range(count):
                assert (await received(opened))["event"] == "failed"
            await flooding
        # Dropped: what had reached its buffers comes, then the end.
        got = deaf_response.read()
        assert got.count(b"event: failed") < count
        deaf.close()

    asyncio.run(scenario())


def test_a_receiver_that_leaves_is_forgotten_at_once(notifier: NotifierProcess) -> None:
    def there_are(count: int) -> None:
        deadline = time.monotonic() + 5.0
        while notifier.numbers()["datamill_event_receivers"] != count:
            assert time.monotonic() < deadline, notifier.numbers()
            time.sleep(0.02)

    async def scenario() -> None:
        async with socket(notifier):
            there_are(1)

    there_are(0)
    asyncio.run(scenario())
    there_are(0)
    with stream(notifier):
        there_are(1)
    there_are(0)


# --- the client ---------------------------------------------------------------------------------


def test_characters_that_look_like_line_breaks_reach_the_client(
    notifier: NotifierProcess, publish: Callable[..., None]
) -> None:
    failed = Failed(
        dataset_id="9a" * 32,
        reason=Reason.HANDLER_ERROR,
        message="one\u2028two\u2029three\x85four\x0bfive\x0csix\x1cseven\r\neight",
        retryable=False,
    )
    session = HttpSession(notifier.url)
    with session.subscribe(f"dataset.failed.{failed.dataset_id}") as told:
        giving_up = threading.Timer(WAIT_SECS, told.close)
        giving_up.start()
        publish(failed)
        assert list(itertools.islice(told, 1)) == [failed]
        publish(failed, json.dumps(json.loads(failed.encode()), indent=1).encode())
        assert list(itertools.islice(told, 1)) == [failed], "one of several lines, too"
        giving_up.cancel()
    session.close()


# --- requests -------------------------------------------------------------------------------------


def test_a_request_reaches_the_queue(
    notifier: NotifierProcess, steps: Callable[..., Steps], vhost_url: str
) -> None:
    request = steps().request
    spelt_out = json.dumps(request.model_dump(), indent=3).encode()
    answer = notifier.ask(
        "/requests", "POST", spelt_out, {"Datamill-Client": "Jürgen on gpu7".encode()}
    )
    assert answer.status == 202
    assert answer.document["dataset_id"] == request.dataset_id
    assert answer.document["url"] == f"{notifier.url}/datasets/{request.dataset_id}"
    with pika.BlockingConnection(pika.URLParameters(vhost_url)) as connection:
        method, properties, body = connection.channel().basic_get(
            topology.REQUESTS_QUEUE, auto_ack=True
        )
    assert method.routing_key == "dataset.request.toy"
    assert Request.decode(body) == request
    assert properties.message_id == answer.document["message_id"]
    assert properties.content_type == "application/json"
    assert properties.delivery_mode == 2
    assert properties.headers["datamill-client"] == "Jürgen on gpu7"


def test_a_request_that_is_asked_again_has_the_name_that_its_sender_gave_it(
    notifier: NotifierProcess, steps: Callable[..., Steps], vhost_url: str
) -> None:
    body = steps().request.encode()
    for key in ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"):
        answer = notifier.ask("/requests", "POST", body, {"Idempotency-Key": key})
        assert (answer.status, answer.document["message_id"]) == (202, key.strip('"'))
        with pika.BlockingConnection(pika.URLParameters(vhost_url)) as connection:
            _, properties, _ = connection.channel().basic_get(topology.REQUESTS_QUEUE, True)
        assert properties.message_id == key.strip('"')
    for key in ("", '""', "short", "with spaces in it", "x" * 129, "ünprintable"):
        headers = {"Idempotency-Key": key.encode()}
        answer = notifier.ask("/requests", "POST", body, headers)
        assert (answer.status, answer.document["error"]) == (400, "invalid_request"), key


# --- the broker comes and goes --------------------------------------------------------------------


def test_events_come_again_after_the_connection_broke(
    notifier: NotifierProcess,
    node: PrivateNode,
    steps: Callable[..., Steps],
    vhost_url: str,
) -> None:
    dataset_id = steps().dataset_id
    with stream(notifier, f"?dataset={dataset_id}") as events:
        node.ctl("close_all_connections", "-p", "notifier-events", "for a test")
        deadline = time.monotonic() + WAIT_SECS
        while "trying again" not in notifier.log():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        wait_until_ready(notifier)
        with pika.BlockingConnection(pika.URLParameters(vhost_url)) as connection:
            event = Accepted(dataset_id=dataset_id, state="queued", waiting=1, ahead=0)
            connection.channel().basic_publish(
                topology.EVENTS_EXCHANGE, event.routing_key, event.encode()
            )
            assert next(events)["event"] == "accepted"
    assert notifier.ask("/requests", "POST", steps().request.encode()).status == 202


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_lets_go_of_who_listens(home: Any, vhost_url: str, number: signal.Signals) -> None:
    process = NotifierProcess(home, vhost_url, DATAMILL_LISTEN="127.0.0.1:0").start()
    wait_until_ready(process)
    idle = process.connect()
    idle.request("GET", "/healthz")
    idle.getresponse().read()

    async def scenario() -> None:
        with stream(process) as events:
            async with socket(process) as opened:
                started = time.monotonic()
                code = await asyncio.to_thread(process.stop, number)
                assert (code, time.monotonic() - started < 3.0) == (0, True), process.log()
                farewell = await opened.receive()
                assert farewell.type is aiohttp.WSMsgType.CLOSE
                assert farewell.data == aiohttp.WSCloseCode.GOING_AWAY
            assert list(events) == []

    asyncio.run(scenario())
    idle.close()
    assert "Traceback" not in process.log()
