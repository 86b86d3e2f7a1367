"""A disk is full: builds wait, nothing fails, and all goes on when there is room (fault 35)."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from datamill_builder.catalog import schema
from datamill_builder.catalog.states import TaskKind
from datamill_producer.rabbitmq import PrivateNode
from tests.support import invariants
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.notifier import NotifierProcess
from tests.support.small_disk import SmallDisk
from tests.support.toy import write_items
from tests.support.up import DATAMILL

LINE_BYTES = 5_000
ITEMS = 20
CONFIG = {"repeat": 10}
"""A plan of 100 kB, five shards of 200 kB, an archive of 1 MB."""


@pytest.fixture
def home(home: Path) -> Path:
    write_items(home / "raw", [f"item {n} " + "x" * LINE_BYTES for n in range(ITEMS)])
    return home


@pytest.fixture
def store_disk(home: Path) -> Iterator[SmallDisk]:
    """The home's store, on a disk of its own."""
    store, moved = home / "store", home / "moved"
    store.rename(moved)
    with SmallDisk(store) as disk:
        shutil.copytree(moved, store, dirs_exist_ok=True)
        yield disk


@pytest.fixture
def catalog_disk(home: Path) -> Iterator[SmallDisk]:
    """A disk for the home's catalog alone."""
    with SmallDisk(home / "catalog") as disk:
        shutil.copy(home / "catalog.sqlite", disk.folder)
        yield disk


@pytest.fixture
def notifier(home: Path, broker_url: str) -> Iterator[NotifierProcess]:
    """Not started yet."""
    process = NotifierProcess(home, broker_url)
    yield process
    assert process.stop() == 0, process.log()


@pytest.mark.parametrize(
    ("kind", "leaving_bytes"),
    [
        pytest.param(
            TaskKind.PLAN,
            60_000,
            marks=[
                pytest.mark.fault(35, "disk full while the plan is written"),
                pytest.mark.long,
            ],
            id="plan",
        ),
        pytest.param(
            TaskKind.SHARD,
            200_000,
            marks=pytest.mark.fault(35, "disk full while shards are written"),
            id="shard",
        ),
        pytest.param(
            TaskKind.PACK,
            1_500_000,
            marks=pytest.mark.fault(35, "disk full while the archive is written"),
            id="zip",
        ),
    ],
)
def test_a_build_waits_for_room(
    store_disk: SmallDisk,
    home: Path,
    start_builder: Start,
    client: Connect,
    notifier: NotifierProcess,
    fault: Fault,
    kind: TaskKind,
    leaving_bytes: int,
) -> None:
    builder = start_builder(home)
    notifier.start()
    trainer = client()
    store_disk.fill(leaving_bytes)
    fault.injected()
    dataset_id = trainer.ask("toy", config=CONFIG)
    told = eventually(lambda: notifier.ask(f"/datasets/{dataset_id}").document.get("note"))
    assert told.startswith("no space is left: ")
    # It is tried again now and then, and comes to nothing: three is all that it has.
    eventually(lambda: builder.log().count(f"{kind} work waits for room") >= 3)
    assert not {"ready", "failed"} & set(trainer.seen(dataset_id))
    eventually(lambda: not _temporaries(home))  # but while a trial is under way
    ready = notifier.ask("/readyz")
    assert ready.status == 503
    assert ready.document["disk"] is False and ready.document["reason"].startswith("no space")
    assert notifier.ask("/healthz").status == 200
    assert notifier.numbers()["datamill_tasks_waiting_for_space"] > 0
    assert "no space is left" in _status(home, notifier, builder)
    # Others are answered meanwhile.
    refused = trainer.wait(trainer.ask("toy", config={"repeat": 99}))
    assert refused["reason"] == "invalid_config"
    store_disk.free()
    freed = fault.recovered()
    assert trainer.wait(dataset_id)["event"] == "ready"
    secs = fault.recovered() - freed
    fault.watch(builder, trainer)
    assert _most_attempts(builder) == 1, "waiting for room costs no attempt"
    eventually(lambda: notifier.ask("/readyz").status == 200)
    fault.saw(f"paused, /readyz 503 with the reason, ready by itself {secs:.1f} s after room came")


def _kept_at_the_broker(node: PrivateNode, builder: BuilderProcess) -> int:
    """Return how many requests are, once the broker has counted: it does so every few seconds."""
    deadline = time.monotonic() + 20.0
    while not (depths := invariants.queue_depths(node, builder.broker_url)["dataset.requests.v1"]):
        assert time.monotonic() < deadline, "kept at the broker until it is in the catalog"
    return depths


@pytest.mark.fault(35, "disk of the catalog full while requests come")
def test_no_request_is_acknowledged_that_the_catalog_has_no_room_for(
    catalog_disk: SmallDisk,
    home: Path,
    start_builder: Start,
    client: Connect,
    notifier: NotifierProcess,
    fault: Fault,
    node: PrivateNode,
) -> None:
    builder = start_builder(home, DATAMILL_CATALOG_URL=_url(catalog_disk))
    notifier.environment["DATAMILL_CATALOG_URL"] = _url(catalog_disk)
    notifier.start()
    trainer = client()
    answered = trainer.ask("toy")
    assert trainer.wait(answered)["event"] == "ready"
    catalog_disk.fill()
    fault.injected()
    asked = []
    while (
        "intake: the catalog can't be used just now: database or disk is full" not in builder.log()
    ):
        # A little still fits into what SQLite holds already.
        asked.append(trainer.ask("toy", config={"prefix": f"{len(asked)} " + "p" * 5000}))
        trainer.listen(0.2)
    waiting = _kept_at_the_broker(node, builder)
    ready = notifier.ask("/readyz")
    assert (ready.status, ready.document["reason"]) == (503, "the disk of the catalog is full")
    archive = notifier.ask(f"/datasets/{answered}").document["archive"]
    assert notifier.ask(f"/datasets/{archive}", "HEAD").status == 200, "what is there is served"
    catalog_disk.free()
    freed = fault.recovered()
    ends = [trainer.wait(dataset_id)["event"] for dataset_id in asked]
    secs = fault.recovered() - freed
    fault.watch(builder, trainer)
    assert ends == ["ready"] * len(asked)
    assert _most_attempts(builder) == 1
    assert notifier.ask("/readyz").status == 200
    fault.saw(
        f"{waiting} of {len(asked)} requests waited unacknowledged; all ready "
        f"{secs:.1f} s after room came"
    )


@pytest.mark.fault(35, "disk of the catalog full while shards are committed")
def test_a_finished_shard_waits_for_the_catalog(
    catalog_disk: SmallDisk, home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    write_items(home / "raw", ["sleep 0.05 x"] * 80)
    builder = start_builder(home, DATAMILL_CATALOG_URL=_url(catalog_disk))
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    catalog_disk.fill()
    fault.injected()
    eventually(lambda: "a change waits" in builder.log())
    assert not {"ready", "failed"} & set(trainer.seen(dataset_id))
    catalog_disk.free()
    freed = fault.recovered()
    assert trainer.wait(dataset_id)["event"] == "ready"
    secs = fault.recovered() - freed
    fault.watch(builder, trainer)
    assert _most_attempts(builder) == 1, "no shard was made twice"
    fault.saw(f"shards in hand were kept and committed; ready {secs:.1f} s after room came")


def _url(disk: SmallDisk) -> str:
    return f"sqlite:///{disk.folder / 'catalog.sqlite'}"


def _temporaries(home: Path) -> list[Path]:
    scratch = home / "store" / "scratch"
    return [*scratch.glob("*/*.tfrecord"), *scratch.glob("*/*.zip")]


def _most_attempts(builder: BuilderProcess) -> int:
    catalog = builder.catalog
    with catalog.read() as connection:
        most = connection.scalar(select(func.max(schema.tasks.c.attempts)))
    catalog.close()
    return int(most or 0)


def _status(home: Path, notifier: NotifierProcess, builder: BuilderProcess) -> str:
    environment = notifier.environment | {
        "DATAMILL_URL": notifier.url,
        "DATAMILL_BROKER_URL": builder.broker_url,
    }
    done = subprocess.run(
        [*DATAMILL, "status"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 69, done.stderr
    return done.stdout
