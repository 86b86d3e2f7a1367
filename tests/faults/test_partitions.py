"""A network that swallows everything without a word (faults 16 and 17)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datamill import topology
from datamill_producer.rabbitmq import Installation, PrivateNode
from datamill_producer.rabbitmq.ports import kept_ports
from tests.support.builder import Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect, PlainClient
from tests.support.network import Cable, NoNamespaces
from tests.support.notifier import StartNotifier
from tests.support.toy import write_items

NOTICED_SECS = 2 * (10 + 5) + 2.0
"""Two heartbeats of ten seconds with five of grace each, and a look at the clock."""
CUT_SECS = 60.0

TRAINER = """
import datamill
dataset = datamill.request_dataset("toy", "1.0.0", {})
print(dataset.id, flush=True)
folder = dataset.wait(timeout=300)
print("asked again" if dataset.tracker.ready.cached else "heard of it", len(list(folder.iterdir())))
"""


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    try:
        with Cable() as laid:
            yield laid
    except NoNamespaces as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The broker's port at our end of the cable."""
    return kept_ports(tmp_path_factory.mktemp("port") / "port.json", ["cable"])["cable"]


@pytest.fixture(scope="module")
def node(
    cable: Cable,
    port: int,
    tmp_path_factory: pytest.TempPathFactory,
    installation: Installation,
) -> Iterator[PrivateNode]:
    """A node that listens at our end of the cable too."""
    conf = f"listeners.tcp.2 = {cable.outside}:{port}\n"
    with PrivateNode(tmp_path_factory.mktemp("node"), installation, conf=conf) as running:
        yield running


@pytest.fixture
def far_url(broker_url: str, node: PrivateNode, cable: Cable, port: int) -> str:
    """The broker's address from inside the namespace."""
    return broker_url.replace(f"127.0.0.1:{node.ports['amqp']}", f"{cable.outside}:{port}")


@pytest.fixture
def start_trainer(
    tmp_path: Path, cable: Cable
) -> Iterator[Callable[[dict[str, str]], subprocess.Popen[str]]]:
    """Start a trainer inside, with some settings; it is ended with the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATAMILL_")}
    places = {name: str(tmp_path / name) for name in ("DATAMILL_HOME", "DATAMILL_CACHE")}
    started: list[subprocess.Popen[str]] = []

    def start(settings: dict[str, str]) -> subprocess.Popen[str]:
        trainer = subprocess.Popen(
            [*cable.under, sys.executable, "-c", TRAINER],
            env={**kept, **places, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(trainer)
        return trainer

    yield start
    for trainer in started:
        with trainer:
            trainer.kill()


def _connected(node: PrivateNode, cable: Cable) -> bool:
    """Whether the broker believes that somebody inside is connected."""
    return cable.inside in node.ctl("list_connections", "--no-table-headers", "peer_host")


@pytest.mark.long
@pytest.mark.fault(16, "network swallows everything between a builder and the broker, 60 s")
def test_the_work_of_a_builder_that_is_cut_off_is_done_by_another(
    home: Path,
    start_builder: Start,
    client: Connect,
    node: PrivateNode,
    cable: Cable,
    far_url: str,
    fault: Fault,
) -> None:
    write_items(home / "raw", ["sleep 0.5"] * 80)
    lost = start_builder(home, broker_url=far_url, under=cable.under, log_name="lost.log")
    trainer = client()
    big = trainer.ask("toy")
    trainer.wait(big, "shard")
    cable.cut()
    cut_at = time.monotonic()
    fault.injected()
    # Nobody else takes requests yet: the broker sends these into the void.
    asked = [big, *(trainer.ask("toy", config={"max_items": number}) for number in (1, 2, 3))]
    other = start_builder(home, log_name="other.log")
    eventually(lambda: lost.log().count("trying again") >= 4)
    noticed_secs = time.monotonic() - cut_at
    eventually(lambda: not _connected(node, cable))
    given_up_secs = time.monotonic() - cut_at
    for dataset_id in asked:
        assert trainer.wait(dataset_id, timeout_secs=120)["event"] == "ready"
    answered_secs = time.monotonic() - cut_at
    eventually(lambda: time.monotonic() - cut_at > CUT_SECS, CUT_SECS + 5)
    published = {path: path.stat().st_ino for path in other.archives()}
    cable.heal()
    healed_at, seen = time.monotonic(), len(trainer.events)
    eventually(lambda: _consumers(trainer) == 2)
    back_secs = time.monotonic() - healed_at
    # Alone now, the one that was cut off publishes in order: whatever waits in it comes first.
    assert other.stop() == 0
    trainer.wait(trainer.ask("toy", config={"max_items": 5}))
    fault.recovered()
    fault.watch(lost, trainer)
    late = [event for event in trainer.events[seen:] if event["dataset_id"] in asked]
    assert not late, "nothing is told again that another has told"
    assert {path: path.stat().st_ino for path in published} == published, "nor published again"
    assert len(lost.archives()) == len(asked) + 1
    assert noticed_secs <= NOTICED_SECS
    assert given_up_secs <= NOTICED_SECS + 5.0
    fault.saw(
        f"noticed after {noticed_secs:.1f} s, by the broker after {given_up_secs:.1f} s; the other "
        f"had answered all {len(asked)} after {answered_secs:.1f} s; healed after "
        f"{healed_at - cut_at:.0f} s, back {back_secs:.1f} s later, nothing published or told twice"
    )


def _consumers(trainer: PlainClient) -> int:
    declared = trainer._channel.queue_declare(topology.REQUESTS_QUEUE, passive=True)
    return int(declared.method.consumer_count)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            "broker",
            marks=[pytest.mark.long, pytest.mark.fault(17, "trainer cut off from the broker")],
        ),
        pytest.param("http", marks=pytest.mark.fault(17, "trainer cut off, over HTTP")),
    ],
)
def test_a_trainer_finds_what_was_ready_while_it_was_cut_off(
    home: Path,
    start_builder: Start,
    start_notifier: StartNotifier,
    client: Connect,
    node: PrivateNode,
    cable: Cable,
    far_url: str,
    start_trainer: Callable[[dict[str, str]], subprocess.Popen[str]],
    fault: Fault,
    way: str,
) -> None:
    write_items(home / "raw", ["sleep 0.3"] * 24)
    notifier = start_notifier("--listen", f"{cable.outside}:0")
    builder = start_builder(home, DATAMILL_PUBLIC_URL=notifier.url)
    observer = client()
    trainer = start_trainer(
        {"DATAMILL_BROKER_URL": far_url} if way == "broker" else {"DATAMILL_URL": notifier.url}
    )
    assert trainer.stdout is not None
    dataset_id = trainer.stdout.readline().strip()
    observer.wait(dataset_id, "shard")
    cable.cut()
    fault.injected()
    cut_at = time.monotonic()
    try:
        observer.wait(dataset_id, "ready")
        # The broker has to give up: as long as it tries, the event may still arrive.
        eventually(lambda: way == "http" or not _connected(node, cable))
        told = observer.seen(dataset_id).count("ready")
    finally:
        cable.heal()
    healed_at = time.monotonic()
    assert trainer.poll() is None, "it waits"
    said, _ = trainer.communicate(timeout=120)
    fault.recovered()
    secs = time.monotonic() - healed_at
    assert trainer.returncode == 0
    if way == "broker":
        assert said.startswith("asked again")
        observer.wait(dataset_id, "ready", after=len(observer.events))
        assert observer.seen(dataset_id).count("ready") > told
    fault.watch(builder, observer)
    assert notifier.stop() == 0
    fault.saw(
        f"{way}: cut for {healed_at - cut_at:.0f} s, in which `ready` came and was lost; found by "
        f"asking again, downloaded and verified {secs:.1f} s after the heal"
    )
