"""A trainer with the documented rights works, and can do nothing else (32)."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

import datamill
from datamill import topology
from datamill.errors import BrokerRefused
from datamill.sessions import close_sessions
from datamill_producer.rabbitmq import PrivateNode
from tests.docs.readme import Command, steps
from tests.support.builder import BuilderProcess
from tests.support.fault import Fault
from tests.support.notifier import NotifierProcess
from tests.support.toy import write_items

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"
DATASETS = '{"duts": {"handler": "toy", "raw": "toy"}}'
"""The document's dataset, from the toy's data."""


class Administrator:
    """Follows the document on the tests' node, with names of its own."""

    def __init__(self, node: PrivateNode) -> None:
        self._node = node
        unique = uuid.uuid4().hex[:8]
        self.names = {name: f"{name}-{unique}" for name in ("datamill", "trainer")}
        text = DOCUMENT.read_text(encoding="utf-8")
        self._lines = [step.line for step in steps(text) if isinstance(step, Command)]
        self._secrets: dict[str, str] = {}

    def follow(self, user: str) -> None:
        """Run the document's commands for a user."""
        mine = [line for line in self._lines if self._is_about(line, user)]
        assert mine
        for line in mine:
            program, *arguments = shlex.split(line)
            assert program == "rabbitmqctl"
            if arguments[0] == "add_user":
                self._secrets[user] = arguments[2]
            self._node.ctl(*(self.names.get(argument, argument) for argument in arguments))

    def _is_about(self, line: str, user: str) -> bool:
        return ("trainer" in shlex.split(line)) == (user == "trainer")

    def url(self, user: str) -> str:
        """Return the address of the document's virtual host for a user."""
        secret = self._secrets[user].replace(" ", "%20")
        port = self._node.ports["amqp"]
        return f"amqp://{self.names[user]}:{secret}@127.0.0.1:{port}/{self.names['datamill']}"

    def clear(self) -> None:
        """Remove what the document made."""
        self._node.delete_vhost(self.names["datamill"])
        for user in self._secrets:
            self._node.ctl("delete_user", self.names[user])


@pytest.fixture
def administrator(node: PrivateNode) -> Iterator[Administrator]:
    administrator = Administrator(node)
    yield administrator
    administrator.clear()


@pytest.fixture
def service(home: Path, administrator: Administrator) -> Iterator[BuilderProcess]:
    """A builder and a notifier that log in as the document says; the trainer's user after them."""
    administrator.follow("datamill")
    url = administrator.url("datamill")
    notifier = NotifierProcess(home, url).start()
    builder = BuilderProcess(
        home, url, DATAMILL_PUBLIC_URL=notifier.url, DATAMILL_DATASETS=DATASETS
    ).start()
    administrator.follow("trainer")
    yield builder
    assert builder.stop() == 0
    assert notifier.stop() == 0


@pytest.fixture
def trainer(
    administrator: Administrator,
    service: BuilderProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """This process is a trainer; gives its broker's address."""
    monkeypatch.setenv("DATAMILL_BROKER_URL", administrator.url("trainer"))
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "trainer"))
    monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DATAMILL_URL", raising=False)
    yield administrator.url("trainer")
    close_sessions()


def publish(exchange: str, key: str, **properties: Any) -> Callable[[BlockingChannel], Any]:
    def attempt(channel: BlockingChannel) -> Any:
        channel.confirm_delivery()
        message = pika.BasicProperties(**properties)
        return channel.basic_publish(exchange, key, b"{}", message, mandatory=True)

    return attempt


def bind(exchange: str, key: str) -> Callable[[BlockingChannel], Any]:
    def attempt(channel: BlockingChannel) -> Any:
        queue = channel.queue_declare("", exclusive=True).method.queue
        return channel.queue_bind(queue, exchange, key)

    return attempt


def nothing(_channel: BlockingChannel, *_message: Any) -> None:
    """Take a message that must not come."""


REQUESTS, EVENTS = topology.REQUESTS_EXCHANGE, topology.EVENTS_EXCHANGE
ID = "ab" * 32
ATTEMPTS: dict[str, tuple[int, Callable[[BlockingChannel], Any]]] = {
    "a forged sender": (406, publish(REQUESTS, "dataset.request.duts", user_id="somebody")),
    "another dataset": (403, publish(REQUESTS, "dataset.request.toy")),
    "a key of no dataset": (403, publish(REQUESTS, "anything")),
    "a forged ready": (403, publish(EVENTS, f"dataset.ready.{ID}")),
    "work past the exchanges": (403, publish("", topology.SHARDS_QUEUE)),
    "work": (403, publish(topology.WORK_EXCHANGE, topology.SHARD_KEY)),
    "a forged dead letter": (403, publish(topology.DEAD_EXCHANGE, topology.DEAD_KEY)),
    **{
        f"consuming {queue.name}": (403, lambda c, n=queue.name: c.basic_consume(n, nothing))
        for queue in topology.QUEUES
    },
    "getting a dead letter": (403, lambda c: c.basic_get(topology.DEAD_QUEUE)),
    "emptying a queue": (403, lambda c: c.queue_purge(topology.REQUESTS_QUEUE)),
    "deleting a queue": (403, lambda c: c.queue_delete(topology.REQUESTS_QUEUE)),
    "deleting an exchange": (403, lambda c: c.exchange_delete(EVENTS)),
    "declaring a queue": (403, lambda c: c.queue_declare("dataset.mine")),
    "declaring an exchange": (403, lambda c: c.exchange_declare("mine", "topic")),
    "listening to requests": (403, bind(REQUESTS, "#")),
    "requests as events": (403, lambda c: c.exchange_bind(EVENTS, REQUESTS, "#")),
    "all events": (403, bind(EVENTS, "#")),
    "all that is ready": (403, bind(EVENTS, "dataset.ready.#")),
    "events of every dataset": (403, bind(EVENTS, "dataset.*.*")),
}


@pytest.mark.fault(32, "forged senders and events, and whatever else a trainer may not do")
def test_a_trainer_can_do_its_work_and_nothing_else(
    home: Path, service: BuilderProcess, trainer: str, fault: Fault
) -> None:
    write_items(home / "raw", ["item 1", "item 2"])
    dataset = datamill.request_dataset("duts", "1.0.0", {})
    assert dataset.wait(timeout=60).is_dir()
    with datamill.subscribe(f"dataset.*.{dataset.id}") as events:
        datamill.request_dataset("duts", "1.0.0", {})
        assert {next(events).event, next(events).event} == {"accepted", "ready"}
    fault.injected()
    codes = {what: refusal(trainer, attempt) for what, (_, attempt) in ATTEMPTS.items()}
    assert codes == {what: code for what, (code, _) in ATTEMPTS.items()}
    with pytest.raises(BrokerRefused):
        datamill.request_dataset("toy", "1.0.0", {})
    with pytest.raises(BrokerRefused):
        datamill.subscribe("dataset.ready.*")
    close_sessions()
    again = datamill.request_dataset("duts", "1.0.0", {"prefix": "after"})
    assert again.wait(timeout=60).is_dir(), "the service goes on"
    fault.recovered()
    assert "Traceback" not in service.log()
    fault.watch(service)
    fault.saw(
        f"asked, waited, downloaded and listened; {len(ATTEMPTS)} attempts refused: "
        f"{list(codes.values()).count(403)} by 403, {list(codes.values()).count(406)} by 406"
    )


def refusal(url: str, attempt: Callable[[BlockingChannel], Any]) -> int:
    """Return the code that the broker closes the channel or the connection with; 0 if it lets."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        attempt(connection.channel())
    except (ChannelClosedByBroker, ConnectionClosedByBroker) as error:
        return int(error.reply_code)
    finally:
        if connection.is_open:
            connection.close()
    return 0


def test_the_document_says_what_the_topology_says() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    (pattern,) = re.findall(r"dataset\.requests '(\S+)' '\^\$'", text)
    assert re.search(pattern, topology.request_key("duts"))
    assert not re.search(pattern, topology.request_key("duts2"))
