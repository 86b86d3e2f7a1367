"""What takes long holds up nobody, and is done once: shards, builds, environments."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from datamill.broker.slot_consumer import HOLD_SECS
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.steward import INSTALLERS
from datamill_producer.rabbitmq import NoRabbitMQ, PrivateNode, ensure_installation
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.listener import Connect, PlainClient
from tests.support.prepared import prepare
from tests.support.slow_index import SlowIndex
from tests.support.toy import SOURCE, write_items
from tests.support.wheels import make_wheel

WORKERS = 2

CLASSIC = (
    SOURCE
    + """
class Sleeper:
    def __init__(self, config, base_data_path): self.secs = config["secs"]

    @staticmethod
    def config_options(): return {"secs": 0}

    def as_tfrecord(self):
        time.sleep(self.secs)
        with open("out.tfrecord", "wb") as file:
            file.write(record(example(b"late", 1)))
        return ["out.tfrecord"]

    def tf_records_mapper(self, files): raise NotImplementedError
"""
)


# --- a broker that takes deliveries back ---


@pytest.fixture(scope="module")
def impatient_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateNode]:
    """A broker that looks often for what has to be taken back."""
    try:
        installation = ensure_installation(log=print)
    except NoRabbitMQ as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"needs RabbitMQ: {error}")
    with PrivateNode(tmp_path_factory.mktemp("impatient"), installation) as node:
        # How often it looks (every minute otherwise) has no name in rabbitmq.conf.
        node.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 2000).")
        yield node


class Holder:
    """A consumer that holds a delivery, to see when the broker takes it back."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        arguments = {"x-queue-type": "quorum"}
        self._channel.queue_declare("held", durable=True, arguments=arguments)
        self._channel.basic_publish("", "held", b"hold me")
        self._cancelled = False
        self._channel.add_on_cancel_callback(self._on_cancel)
        self._channel.basic_consume("held", lambda *_: None)

    def _on_cancel(self, _frame: object) -> None:
        self._cancelled = True

    def wait_taken_back(self, timeout_secs: float = 20.0) -> None:
        """Return once it was; the time was up long ago."""
        deadline = time.monotonic() + timeout_secs
        while not (self._cancelled or self._channel.is_closed):
            assert time.monotonic() < deadline, "the broker was patient: this test shows nothing"
            with contextlib.suppress(pika.exceptions.AMQPChannelError):
                self._connection.process_data_events(0.1)

    def close(self) -> None:
        """Close the connection."""
        if self._connection.is_open:
            self._connection.close()


@pytest.mark.long
@pytest.mark.parametrize(("patience_secs", "work_secs"), [(30, 45), (8, 25)])
def test_work_outlives_the_brokers_patience_and_is_done_once(
    impatient_node: PrivateNode, home: Path, patience_secs: int, work_secs: int
) -> None:
    patience = f"application:set_env(rabbit, consumer_timeout, {patience_secs * 1000})."
    impatient_node.ctl("eval", patience)
    url = impatient_node.add_vhost(f"patience-{patience_secs}")
    points = {"sleeper": "classic_sleeper:Sleeper"}
    make_wheel(home / "wheels", "classic-sleeper", "1.0.0", {"classic_sleeper.py": CLASSIC}, points)
    write_items(home / "raw", [f"sleep {work_secs} zzz", "item"])
    write_items(home / "raw", ["anything"], dataset="sleeper")
    builder = BuilderProcess(home, url).start()
    trainer, holder = PlainClient(url), Holder(url)
    try:
        asked = [trainer.ask("toy"), trainer.ask("sleeper", config={"secs": work_secs})]
        ready = [trainer.wait(dataset_id, timeout_secs=180.0) for dataset_id in asked]
        assert [event["event"] for event in ready] == ["ready", "ready"]
        holder.wait_taken_back()
        assert [task.attempts for task in builder.tasks(TaskKind.SHARD)] == [1, 1]
        assert [task.fence for task in builder.tasks(TaskKind.SHARD)] == [1, 1]
        # Less than what work is held for costs the connection once, and is remembered.
        assert builder.log().count("trying again") == (0 if patience_secs > HOLD_SECS else 1)
        trainer.listen(1.0)
        assert [trainer.seen(dataset_id).count("ready") for dataset_id in asked] == [1, 1]
    finally:
        holder.close()
        trainer.close()
        assert builder.stop() == 0


# --- a build of very many shards ---


@pytest.fixture(scope="module")
def prepared_singles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a toy handler that makes a shard of each source item."""
    source = SOURCE.replace("records_per_shard = 4", "records_per_shard = 1")
    return prepare(tmp_path_factory.mktemp("singles") / "home", source)


def _done(builder: BuilderProcess) -> dict[int, tuple[int, int]]:
    """Return fence and attempts of each finished shard."""
    tasks = builder.tasks(TaskKind.SHARD)
    return {t.number: (t.fence, t.attempts) for t in tasks if t.state == TaskState.DONE}


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("shards", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_a_restart_in_the_middle_redoes_no_shard(
    prepared_singles: Path,
    tmp_path: Path,
    start_builder: Start,
    client: Connect,
    shards: int,
    how: str,
) -> None:
    home = tmp_path / "home"
    shutil.copytree(prepared_singles, home, symlinks=True)
    # Not so fast that a machine with other work sees the middle only when it is over.
    write_items(home / "raw", [f"sleep 0.02 {number}" for number in range(shards)])
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    eventually(lambda: len(_done(builder)) >= shards // 2, 600.0)
    if how == "kill":
        builder.kill()
    else:
        assert builder.stop() == 0
    before = _done(builder)
    assert len(before) < shards, "the build was not in the middle any more"
    builder.start()
    ready = trainer.wait(dataset_id, timeout_secs=600.0)
    assert (ready["event"], ready["shards"], ready["records"]) == ("ready", shards, shards)
    after = _done(builder)
    assert {number: after[number] for number in before} == before, "done is done"
    redone = [number for number, (_, attempts) in after.items() if attempts > 1]
    in_hand = WORKERS + max(1, WORKERS // 2)  # those that are checked and committed too
    assert len(redone) <= (in_hand if how == "kill" else 0), "at most what was in hand"


# --- environments that take minutes ---


@pytest.mark.parametrize("slow", [1, pytest.param(20, marks=pytest.mark.long)])
def test_environments_that_take_long_hold_up_nobody(
    home: Path, tmp_path: Path, start_builder: Start, client: Connect, slow: int
) -> None:
    folder = tmp_path / "index"
    versions = [f"1.0.{number}" for number in range(slow)]
    for version in versions:
        modules = {"slow_handlers.py": SOURCE}
        make_wheel(folder, "slow-handlers", version, modules, {"slow": "slow_handlers:Toy"})
    write_items(home / "raw", ["item"], dataset="slow")
    with SlowIndex(folder) as index:
        sources = f"{home / 'wheels'},{index.source}slow-handlers"
        builder = start_builder(home, DATAMILL_HANDLER_SOURCES=sources)
        trainer = client()
        asked = [trainer.ask("slow", version) for version in versions]
        eventually(lambda: index.waiting == min(slow, INSTALLERS), 180.0)
        began = time.monotonic()
        assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
        secs = time.monotonic() - began
        assert not {"ready", "failed"} & set(trainer.seen(asked[0])), "it was not slow at all"
        assert secs < 30.0, "as if there were no others (2 s on an idle machine)"
        assert index.most <= INSTALLERS
        index.release()
        ends = [trainer.wait(dataset_id, timeout_secs=300.0) for dataset_id in asked]
        assert {event["event"] for event in ends} == {"ready"}
        assert {task.attempts for task in builder.tasks(TaskKind.RESOLVE)} == {1}


OTHER = {"other_handlers.py": SOURCE}


def _ask_for(
    asked_for: list[tuple[str, dict[str, str]]], home: Path, start_builder: Start, client: Connect
) -> tuple[PlainClient, list[str]]:
    """Have (dataset name, config) planned, by a builder that is stopped before their end."""
    points = {"other": "other_handlers:Toy"}
    make_wheel(home / "wheels", "other-handlers", "1.0.0", OTHER, points)
    write_items(home / "raw", ["sleep 0.2 x"] * 40)
    write_items(home / "raw", ["sleep 0.2 x"] * 12, dataset="other")
    builder = start_builder(home)
    trainer = client()
    made = trainer.ask("other", config={"prefix": "so that its environment is made"})
    assert trainer.wait(made, timeout_secs=60.0)["event"] == "ready"
    asked = []
    for name, config in asked_for:  # in this order, which is that of their age
        asked.append(trainer.ask(name, config=config))
        trainer.wait(asked[-1], "planned", timeout_secs=60.0)
    assert builder.stop() == 0
    assert not any("ready" in trainer.seen(dataset_id) for dataset_id in asked)
    return trainer, asked


class SlowlyMade:
    """Environments that are not there, and are not made before `release`."""

    def __init__(self, folder: Path, package: str) -> None:
        pythons = folder.glob(f"*/lib/python*/site-packages/{package}-*")
        self._environment = next(pythons).parents[3]
        shutil.rmtree(self._environment)
        lock = self._environment.with_name(f"{self._environment.name}.lock")
        self._lock = lock.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @property
    def made(self) -> bool:
        """Whether it is there by now."""
        return self._environment.exists()

    def release(self) -> None:
        """Let it be made."""
        self._lock.close()


def test_shards_whose_environment_is_not_here_hold_up_no_others(
    home: Path, start_builder: Start, client: Connect
) -> None:
    # As many slow ones as there are workers, and all older than the quick one.
    slow_ones = [("toy", {"prefix": f"slow {number}"}) for number in range(WORKERS)]
    asked_for = [*slow_ones, ("other", {})]
    trainer, (*slow, quick) = _ask_for(asked_for, home, start_builder, client)
    environment = SlowlyMade(home / "environments", "toy_handlers")
    builder = start_builder(home)
    assert trainer.wait(quick, timeout_secs=60.0)["event"] == "ready"
    assert not any("ready" in trainer.seen(dataset_id) for dataset_id in slow)
    assert not environment.made
    environment.release()
    for dataset_id in slow:
        assert trainer.wait(dataset_id, timeout_secs=60.0)["event"] == "ready"
    assert {task.attempts for task in builder.tasks(TaskKind.SHARD)} == {1}


def test_a_builder_without_the_environment_leaves_the_shards_to_others(
    home: Path, tmp_path: Path, start_builder: Start, client: Connect
) -> None:
    """They share a catalog and a store, and each makes its own environments."""
    trainer, asked = _ask_for([("toy", {}), ("other", {})], home, start_builder, client)
    bare = tmp_path / "bare"
    shutil.copytree(home, bare, symlinks=True, ignore=shutil.ignore_patterns("store", "catalog*"))
    (bare / "store").symlink_to(home / "store")
    environments = [
        SlowlyMade(bare / "environments", name) for name in ("toy_handlers", "other_handlers")
    ]
    catalog = f"sqlite:///{home / 'catalog.sqlite'}"
    without = start_builder(bare, DATAMILL_CATALOG_URL=catalog)
    eventually(lambda: "environment is not here yet" in without.log(), 60.0)
    builder = start_builder(home)
    for dataset_id in asked:
        assert trainer.wait(dataset_id, timeout_secs=60.0)["event"] == "ready"
    assert not any(environment.made for environment in environments)
    assert {task.attempts for task in builder.tasks(TaskKind.SHARD)} == {1}
    assert without.stop() == 0
    for environment in environments:
        environment.release()
