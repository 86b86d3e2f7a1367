"""Messages that are no requests are dead-lettered once, and nobody else waits (27, 28)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker
from sqlalchemy import func, select

import datamill
from datamill import topology
from datamill.errors import Flaw, InvalidRequest
from datamill_builder.catalog import schema
from datamill_producer.dead_letters import DeadLetter, DeadLetters
from datamill_producer.rabbitmq import PrivateNode
from tests.support.builder import BuilderProcess, Start
from tests.support.fault import Fault
from tests.support.listener import Connect, PlainClient
from tests.support.notifier import NotifierProcess

TOY = b'{"dataset_name":"toy","handler_version":"1.0.0","dataset_config":'
POISON = {
    "empty": (b"", Flaw.NOT_JSON),
    "invalid UTF-8": (b'{"dataset_name":"\xff"}', Flaw.NOT_JSON),
    "invalid JSON": (b'{"dataset_name":', Flaw.NOT_JSON),
    "NaN": (TOY + b'{"a":NaN}}', Flaw.NOT_JSON),
    "Infinity": (TOY + b'{"a":Infinity}}', Flaw.NOT_JSON),
    "-Infinity": (TOY + b'{"a":-Infinity}}', Flaw.NOT_JSON),
    "1e999": (TOY + b'{"a":1e999}}', Flaw.NOT_THAT),
    "a key twice": (TOY + b'{"a":1,"a":2}}', Flaw.NOT_JSON),
    "100,000 brackets": (b"[" * 100_000, Flaw.NOT_JSON),
    "5,000 digits": (TOY + b'{"a":' + b"9" * 5000 + b"}}", Flaw.NOT_JSON),
    "lone surrogate": (TOY + rb'{"a":"\ud800"}}', Flaw.NOT_THAT),
    "NUL in a key": (TOY + rb'{},"a\u0000":1}', Flaw.NOT_THAT),
}
GOOD = TOY + b"{}}"
MEBIBYTE = 1024 * 1024


@pytest.mark.fault(27, "messages that are no requests, twelve kinds of them")
def test_poison_is_dead_lettered_after_one_delivery(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    builder = start_builder(home)
    trainer = client()
    assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
    waited = []
    fault.injected()
    for number, (body, _) in enumerate(POISON.values()):
        trainer.send(body, message_id=f"poison {number}")
        began = time.monotonic()
        trainer.wait(trainer.ask("toy", config={"prefix": str(number)}), "accepted")
        waited.append(time.monotonic() - began)
    fault.recovered()
    letters = _letters(builder.broker_url, len(POISON))
    flaws = {letter.message_id: letter.flaw for letter in letters}
    assert flaws == {f"poison {n}": flaw for n, (_, flaw) in enumerate(POISON.values())}
    assert all(letter.reason for letter in letters)
    assert _deaths(builder.broker_url, len(POISON)) == [
        (1, "rejected", topology.REQUESTS_QUEUE)
    ] * len(POISON)
    assert builder.log().count("a request was refused: ") == len(POISON), "each came once"
    assert "Traceback" not in builder.log()
    waited.sort()
    assert waited[len(waited) // 2] < 1.0, waited
    fault.watch(builder, trainer)
    fault.saw(
        f"{len(POISON)} kinds dead-lettered after one delivery each, with a word for what is wrong;"
        f" the next request was accepted within {waited[-1] * 1000:.0f} ms"
    )


@pytest.mark.fault(28, "a body of 17 MiB")
def test_a_message_that_is_too_large_is_not_read(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy", config={"prefix": "warm"})
    assert trainer.wait(dataset_id)["event"] == "ready"
    with pytest.raises(InvalidRequest, match="allowed are 65536"):
        datamill.request_dataset("toy", "1.0.0", {"a": "x" * (17 * MEBIBYTE)})
    # Spaces and a request: whoever reads it finds nothing wrong with it.
    body = b" " * (17 * MEBIBYTE) + GOOD
    before = _peak_bytes(builder)
    fault.injected()
    taken = _publish_raw(builder.broker_url, body)
    trainer.wait(trainer.ask("toy", config={"prefix": "next"}), "accepted")
    secs = fault.recovered()
    with builder.catalog.read() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.requests)) == 2
    if taken:
        (letter,) = _letters(builder.broker_url, 1)
        assert (letter.flaw, len(letter.body)) == (Flaw.TOO_LARGE, len(body))
        assert _deaths(builder.broker_url, 1) == [(1, "rejected", topology.REQUESTS_QUEUE)]
        assert f"a message of {len(body)} bytes was refused unread" in builder.log()
        outcome = "by RabbitMQ taken, by the builder dead-lettered unread"
    else:
        outcome = "refused by RabbitMQ (406)"
    grown = _peak_bytes(builder) - before
    assert grown < 10 * len(body), "once or twice in memory, as it arrives"
    fault.watch(builder, trainer)
    fault.saw(f"refused by the client; sent raw: {outcome}; the next accepted after {secs:.1f} s")


@pytest.fixture
def roomy_node(node: PrivateNode) -> Iterator[None]:
    """What is large enough for the builder's memory is too much for a node of the usual size."""
    node.ctl("set_vm_memory_high_watermark", "absolute", "4GB")
    yield
    node.ctl("set_vm_memory_high_watermark", "absolute", "512MB")


@pytest.mark.usefixtures("roomy_node")
@pytest.mark.fault(28, "many bodies of 16 MiB at once")
def test_many_large_messages_do_not_fill_the_memory(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    builder = start_builder(home)
    trainer = client()
    builder.stop()
    body = b" " * (16 * MEBIBYTE - 1)
    count = 20
    for _ in range(count):
        trainer.send(body)
    good = trainer.ask("toy")
    fault.injected()
    again = start_builder(home)
    trainer.wait(good, "accepted")
    secs = fault.recovered()
    _letters(again.broker_url, count, look=False)
    peak = _peak_bytes(again)
    assert peak < 400 * MEBIBYTE, "not all of them at once"
    assert trainer.wait(good)["event"] == "ready"
    fault.watch(again, trainer)
    fault.saw(
        f"{count} refused unread within {secs:.1f} s of the builder's start; "
        f"it used {peak // MEBIBYTE} MiB at most"
    )


@pytest.mark.fault(28, "a body of 17 MiB over HTTP")
def test_a_large_body_over_http_is_refused(tmp_path: Path, fault: Fault) -> None:
    notifier = NotifierProcess(tmp_path).start()
    fault.injected()
    status = _post_until_answered(notifier, 17 * MEBIBYTE)
    assert notifier.ask("/healthz").status == 200
    secs = fault.recovered()
    assert notifier.stop() == 0
    assert status == 413
    assert "Traceback" not in notifier.log()
    fault.saw(f"413 before all of it was sent, the next request answered, {secs:.1f} s")


def _post_until_answered(notifier: NotifierProcess, size: int) -> int:
    """Post a body that is too large, piece by piece, and return the status that comes."""
    connection = notifier.connect()
    connection.putrequest("POST", "/requests")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    for _ in range(size // MEBIBYTE):
        try:
            connection.send(b" " * MEBIBYTE)
        except OSError:
            break
    status = connection.getresponse().status
    connection.close()
    return status


def _publish_raw(url: str, body: bytes) -> bool:
    """Publish without Datamill's checks; return whether the broker took it."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish(topology.REQUESTS_EXCHANGE, "dataset.request.toy", body)
    except ChannelClosedByBroker as error:
        assert error.reply_code == 406
        return False
    finally:
        connection.close()
    return True


def _letters(url: str, count: int, look: bool = True) -> list[DeadLetter]:
    """Return the dead letters, once there are so many."""
    client = PlainClient(url)
    deadline = time.monotonic() + 30
    while (there := client.depth(topology.DEAD_QUEUE)) != count:
        assert time.monotonic() < deadline, f"{there} dead letters, not {count}"
        client.listen(0.05)
    client.close()
    if not look:
        return []
    with DeadLetters(url) as letters:
        return letters.fetch()


def _deaths(url: str, count: int) -> list[tuple[Any, ...]]:
    """Return what the broker says of each dead letter's death: how often, why, where."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    deaths = []
    deadline = time.monotonic() + 30
    while len(deaths) < count:
        assert time.monotonic() < deadline
        method, properties, _ = channel.basic_get(topology.DEAD_QUEUE)
        if method is not None:
            (death,) = properties.headers["x-death"]
            deaths.append((death["count"], death["reason"], death["queue"]))
    connection.close()
    return deaths


def _peak_bytes(builder: BuilderProcess) -> int:
    """Return how much memory a builder had at most, its handlers not counted."""
    assert builder.process is not None
    status = Path(f"/proc/{builder.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
