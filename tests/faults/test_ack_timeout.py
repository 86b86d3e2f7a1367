"""What a consumer holds for too long, the broker takes back: in a way that differs by version (23).

To 3.11 the node's timeout counts for all queues; from 3.12 a queue may say its own. To 4.2 the
broker closes the channel with 406, from 4.3 it cancels the consumer and leaves the channel open.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from datamill import topology
from datamill.broker import BatchConsumer, Delivery, Publisher
from datamill.errors import ServiceUnavailable
from datamill_builder.catalog import Catalog, schema
from datamill_builder.catalog.states import TaskKind
from datamill_builder.intake import Intake
from datamill_builder.store import Store
from datamill_producer.rabbitmq import Installation, PrivateNode
from tests.support.builder import Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.toy import make_toy, write_items

TIMEOUT_SECS = 8
LOWERED = (
    f"application:set_env(rabbit, consumer_timeout, {TIMEOUT_SECS * 1000}), "
    "application:set_env(rabbit, channel_tick_interval, 2000)."
)
CANCELLED = "the broker cancelled a consumer"
CLOSED = "the broker closed a channel"
REQUEST = b'{"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {}}'

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateNode]:
    """A node of these tests' own, which waits 8 s for acknowledgements, not half an hour."""
    with PrivateNode(tmp_path_factory.mktemp("impatient"), installation) as impatient:
        impatient.ctl("eval", LOWERED)
        yield impatient


@pytest.fixture(scope="module")
def version(node: PrivateNode) -> tuple[int, int]:
    major, minor = node.version().split(".")[:2]
    return int(major), int(minor)


def messages(node: PrivateNode, url: str) -> dict[str, int]:
    """Return how many messages each queue holds, given out or not, where there are any."""
    vhost = url.rsplit("/", 1)[1]
    said = node.ctl("list_queues", "-p", vhost, "--no-table-headers", "name", "messages")
    counts = dict(line.split() for line in said.splitlines())
    return {name: int(count) for name, count in counts.items() if int(count)}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield opened
    opened.close()


class AbsentCatalog:
    """An intake whose catalog is away until it is told otherwise."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.back = threading.Event()
        self.redelivered: list[bool] = []

    def __call__(self, batch: list[Delivery]) -> list[bool]:
        self.redelivered += [delivery.redelivered for delivery in batch]
        if not self.back.is_set():
            raise ServiceUnavailable("the catalog is away")
        return self._intake.handle(batch)


@pytest.mark.fault(23, "a request held for longer than the acknowledgement timeout")
def test_a_request_that_is_held_for_too_long_comes_again_and_counts_once(
    fault: Fault,
    node: PrivateNode,
    version: tuple[int, int],
    broker_url: str,
    catalog: Catalog,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store(tmp_path / "store")
    handle = AbsentCatalog(Intake(catalog, store, lambda: "http://t.test", lambda marks: None))
    consumer = BatchConsumer(broker_url, "intake", topology.REQUESTS_QUEUE, 50, handle)
    consumer.start()
    eventually(consumer.subscribed.is_set)
    fault.injected()
    with Publisher(broker_url) as publisher:
        publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.toy", REQUEST)
    eventually(lambda: True in handle.redelivered)
    held_secs = fault.recovered()
    handle.back.set()
    eventually(lambda: messages(node, broker_url) == {})
    consumer.stop()
    consumer.join(10)

    assert held_secs > TIMEOUT_SECS - 2, "it came again because of the timeout, not before"
    lost = CANCELLED if version >= (4, 3) else CLOSED
    assert [end for end in (CANCELLED, CLOSED) if end in caplog.text] == [lost]
    assert consumer.fatal is None
    with catalog.read() as connection:
        assert len(connection.execute(select(schema.requests)).all()) == 1
        assert connection.scalars(select(schema.datasets.c.waiting)).all() == [1]
        assert connection.scalars(select(schema.tasks.c.kind)).all() == [TaskKind.RESOLVE]
    fault.saw(f"{lost}; redelivered after {held_secs:.1f} s, logged once, waited for once")


@pytest.mark.fault(23, "a shard that takes longer than the acknowledgement timeout")
def test_a_shard_that_takes_longer_than_the_timeout_is_made_once(
    fault: Fault,
    node: PrivateNode,
    version: tuple[int, int],
    broker_url: str,
    tmp_path: Path,
    start_builder: Start,
    client: Connect,
) -> None:
    home = tmp_path / "home"
    make_toy(home / "wheels")
    write_items(home / "raw", [f"sleep {TIMEOUT_SECS + 6} zzz"])
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    fault.injected()
    assert trainer.wait(dataset_id, timeout_secs=90)["event"] == "ready"
    fault.recovered()
    fault.watch(builder, trainer)
    eventually(lambda: messages(node, broker_url).keys() <= {trainer.queue})

    # From 3.12 on the queue's own timeout counts, an hour.
    assert (CLOSED in builder.log()) == (version < (3, 12))
    assert CANCELLED not in builder.log()
    assert [name for name in trainer.seen(dataset_id) if name in ("shard", "ready")] == [
        "shard",
        "ready",
    ]
    catalog = builder.catalog
    with catalog.read() as connection:
        assert set(connection.scalars(select(schema.tasks.c.attempts))) == {1}
        assert len(connection.execute(select(schema.builds)).all()) == 1
    catalog.close()
    what = "closed the channel" if version < (3, 12) else "left the queue its own timeout"
    fault.saw(f"the broker {what}; the shard was begun and told once")
