"""The notifier as a process: how it starts, what it says, with which codes it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from datamill import exits, topology
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.rows import upsert
from datamill_builder.catalog.schema import meta
from datamill_producer.rabbitmq import PrivateNode
from tests.support.eventually import eventually
from tests.support.notifier import NotifierProcess

Start = Callable[..., NotifierProcess]


def ended(process: NotifierProcess, secs: float = 20.0) -> int:
    """The exit code of a notifier that ends by itself."""
    assert process.process is not None
    return process.process.wait(secs)


def ended_yet(process: NotifierProcess) -> int | None:
    assert process.process is not None
    return process.process.poll()


def test_its_address_is_kept_and_told(tmp_path: Path) -> None:
    first = NotifierProcess(tmp_path).start()
    assert first.stop() == 0
    second = NotifierProcess(tmp_path).start()
    assert second.url == first.url
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    with catalog.read() as connection:
        assert lifecycle.public_url(connection) == first.url
    assert second.stop() == 0
    third = NotifierProcess(tmp_path).start("--public-url", "https://data.test/mill/")
    assert third.url == "https://data.test/mill"
    with catalog.read() as connection:
        assert lifecycle.public_url(connection) == "https://data.test/mill"
    assert third.stop() == 0
    catalog.close()


def test_options_go_over_settings(tmp_path: Path) -> None:
    process = NotifierProcess(tmp_path, DATAMILL_LISTEN="127.0.0.1:1")
    process.start("--listen", "localhost:0")
    assert process.url.startswith("http://localhost:")
    assert process.ask("/healthz").status == 200
    assert process.stop() == 0


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = NotifierProcess(tmp_path)
        process.launch("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert ended(process) == exits.EX_UNAVAILABLE
    assert process.log().count("\n") == 1
    assert "another process listens there already" in process.log()


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:http"])
def test_a_wrong_setting(tmp_path: Path, listen: str) -> None:
    process = NotifierProcess(tmp_path)
    process.launch("--listen", listen)
    assert ended(process) == exits.EX_CONFIG
    assert process.log().startswith("datamill notifier: DATAMILL_LISTEN")
    assert process.log().count("\n") == 1


def test_an_unknown_option(tmp_path: Path) -> None:
    process = NotifierProcess(tmp_path)
    process.launch("--nonsense")
    assert ended(process) == exits.EX_USAGE


def test_a_catalog_of_a_newer_version(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    with catalog.write() as change:
        upsert(change.connection, meta, [{"key": "schema_version", "value": "9999"}], ["key"])
    catalog.close()
    process = NotifierProcess(tmp_path)
    process.launch()
    assert ended(process) == exits.EX_CONFIG
    assert "newer Datamill" in process.log()


def test_a_catalog_that_can_not_be_opened(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").mkdir()
    process = NotifierProcess(tmp_path)
    process.launch()
    assert ended(process) == exits.EX_UNAVAILABLE
    assert process.log().count("\n") == 1


def test_a_broker_that_refuses(tmp_path: Path, node: PrivateNode) -> None:
    user = node.url.split("//")[1].split(":")[0]
    place = node.url.split("@")[1]
    process = NotifierProcess(tmp_path, f"amqp://{user}:not-the-password@{place}")
    process.launch()
    assert ended(process) == exits.EX_NOPERM
    assert "not-the-password" not in process.log()
    assert "Traceback" not in process.log()


def test_a_broker_with_other_queues(tmp_path: Path, broker_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_declare(topology.REQUESTS_QUEUE, durable=True)
    process = NotifierProcess(tmp_path, broker_url)
    process.launch()
    assert ended(process) == exits.EX_CONFIG
    assert topology.REQUESTS_QUEUE in process.log()
    assert "Traceback" not in process.log()


def test_a_listener_that_ends_by_an_error_of_ours_is_no_good_end(
    tmp_path: Path, broker_url: str
) -> None:
    code = (
        "from datamill_notifier import cli, listening;"
        "listening.HubFeeder.feed = lambda self, deliveries: 1 / 0;"
        "cli.main()"
    )
    process = NotifierProcess(tmp_path, broker_url)
    process.launch(python=("-c", code))
    eventually(lambda: "serving at" in process.log())
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        topology.declare(channel)
        while ended_yet(process) is None:  # until it listens, events pass it by
            channel.basic_publish(topology.EVENTS_EXCHANGE, "dataset.ready.x", b"{}")
            connection.sleep(0.05)
    assert ended(process) == exits.EX_FAILED
    assert "ZeroDivisionError" in process.log() and "has ended by itself" in process.log()


def test_a_broker_that_hangs_holds_up_nothing(tmp_path: Path) -> None:
    """It takes connections and says nothing: files are served, and stopping takes no time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://u:p@127.0.0.1:{silent.getsockname()[1]}/x"
        process = NotifierProcess(tmp_path, url).start()
        assert process.ask("/healthz").status == 200
        assert process.ask("/readyz").document["broker"] is False
        started = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - started < 4.0


def test_it_imports_no_more_of_the_builder_than_it_may() -> None:
    code = (
        "import sys, datamill_notifier.cli;"
        "print(sorted({m.split('.')[1] for m in sys.modules if m.startswith('datamill_builder.')}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['catalog', 'store']"
