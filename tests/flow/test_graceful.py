"""SIGTERM to each part: it takes no more work, finishes or hands back, and ends with code 0."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill.download import fetch
from datamill.source import Source
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.handlers.wheels import file_sha256
from datamill_builder.store import Store
from datamill_producer.up.descendants import descendants
from tests.support.archives import example, pack
from tests.support.builder import BuilderProcess, Start, process_state
from tests.support.catalog_steps import Steps
from tests.support.eventually import eventually
from tests.support.listener import Connect, PlainClient
from tests.support.notifier import NotifierProcess
from tests.support.slow_index import SlowIndex
from tests.support.toy import SOURCE, make_toy, write_items
from tests.support.up import UpProcess, wait_until_gone
from tests.support.wheels import make_wheel

REQUESTS = "dataset.requests.v1"
BIG_BYTES = 24 * 1024 * 1024  # more than the buffers of both ends of a loopback connection


# --- a builder ---


def test_a_stopping_builder_takes_nothing_and_finishes_what_it_has(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 0.75 zzz"] * 20)  # five shards of 3 s
    builder = start_builder(home, DATAMILL_STOP_GRACE_SECS="60")
    trainer = client()
    first = trainer.ask("toy")
    builder.wait_logged("writing 4 items", 2)
    builder.signal(signal.SIGTERM)
    builder.wait_logged("told to stop")
    time.sleep(1.0)  # what it may take to hear of it, and not something that is waited for
    second = trainer.ask("toy", config={"prefix": "later", "max_items": 1})
    assert builder.process is not None
    assert builder.process.wait(60.0) == 0
    assert trainer.depth(REQUESTS) == 1, "the request waits for whoever comes next"
    assert second[:12] not in builder.log()
    shards = builder.tasks(TaskKind.SHARD)
    assert sorted((task.state, task.attempts) for task in shards) == [
        *[(TaskState.DONE, 1)] * 2,
        *[(TaskState.PENDING, 0)] * 3,
    ]
    start_builder(home)
    assert trainer.wait(first, timeout_secs=120.0)["event"] == "ready"
    assert trainer.wait(second, timeout_secs=120.0)["event"] == "ready"


def test_a_stopping_builder_ends_its_installers_and_hands_back(
    home: Path, tmp_path: Path, start_builder: Start, client: Connect
) -> None:
    points = {"slow": "slow_handlers:Toy"}
    make_wheel(tmp_path / "i", "slow-handlers", "1.0.0", {"slow_handlers.py": SOURCE}, points)
    write_items(home / "raw", ["item"], dataset="slow")
    with SlowIndex(tmp_path / "i") as index:
        sources = f"{home / 'wheels'},{index.source}slow-handlers"
        settings = {"DATAMILL_HANDLER_SOURCES": sources, "DATAMILL_STOP_GRACE_SECS": "0.5"}
        builder = start_builder(home, **settings)
        trainer = client()
        dataset_id = trainer.ask("slow")
        eventually(lambda: index.waiting)
        assert builder.process is not None
        below = set(descendants(builder.process.pid))
        began = time.monotonic()
        assert builder.stop() == 0
        assert time.monotonic() - began < 6.0
        wait_until_gone(below, timeout_secs=2.0)
        (task,) = builder.tasks(TaskKind.RESOLVE)
        assert (task.state, task.attempts) == (TaskState.PENDING, 0)
        index.release()
        start_builder(home, **settings)
        assert trainer.wait(dataset_id)["event"] == "ready"


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, str]:
    """The digest of the archive that a single builder makes, once there is one."""
    return {}


@pytest.mark.parametrize("grace_secs", ["10", pytest.param("0", marks=pytest.mark.long)])
def test_builders_are_exchanged_during_a_build(
    home: Path,
    start_builder: Start,
    client: Connect,
    grace_secs: str,
    undisturbed: dict[str, str],
) -> None:
    write_items(home / "raw", [f"sleep 0.15 {number}" for number in range(240)])
    trainer: PlainClient | None = None
    if not undisturbed:
        alone = start_builder(
            home.parent / "alone",
            DATAMILL_RAW_ROOT=str(home / "raw"),
            DATAMILL_HANDLER_SOURCES=str(home / "wheels"),
            DATAMILL_WORKERS="8",
        )
        trainer = client()
        undisturbed["sha256"] = trainer.wait(trainer.ask("toy"), timeout_secs=120.0)["sha256"]
        assert alone.stop() == 0
        trainer.close()
    settings = {"DATAMILL_WORKERS": "1", "DATAMILL_STOP_GRACE_SECS": grace_secs}
    old = start_builder(home, **settings)
    trainer = client()
    dataset_id = trainer.ask("toy")
    exchanged, done = 0, {}
    for _ in range(4):
        trainer.wait(dataset_id, "shard", after=len(trainer.events))
        new = start_builder(home, **settings)
        done |= _done(old)
        assert old.stop() == 0
        exchanged += "ready" not in trainer.seen(dataset_id)
        old = new
    ready = trainer.wait(dataset_id, timeout_secs=120.0)
    assert exchanged >= 2, "the build was over too soon"
    assert ready["sha256"] == undisturbed["sha256"]
    after = _done(old)
    assert len(after) == 60
    assert {number: after[number] for number in done} == done, "done is done"
    attempts = {task.attempts for task in old.tasks(TaskKind.SHARD)}
    assert attempts == {1}, "what was in hand was finished, or handed back without a count"


def _done(builder: BuilderProcess) -> dict[int, int]:
    """Return the fence of each finished shard."""
    tasks = builder.tasks(TaskKind.SHARD)
    return {task.number: task.fence for task in tasks if task.state == TaskState.DONE}


# --- a notifier ---


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Steps]:
    """A home whose catalog and store hold an archive that takes some time to send."""
    home = tmp_path / "served"
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    payload = os.urandom(1024) * (BIG_BYTES // 1024)
    archive = pack({"train": [[example(text=payload)]]}, content_key=f"{0xA11CE:064x}")
    yield Steps(catalog, Store(home / "store"), {"number": 1}, archive=archive).ready()
    catalog.close()


def test_a_stopping_notifier_hears_no_more_requests(tmp_path: Path, served: Steps) -> None:
    notifier = NotifierProcess(tmp_path / "served").start()
    busy, idle = notifier.connect(), notifier.connect()
    idle.request("GET", "/healthz")
    assert idle.getresponse().read()
    busy.request("GET", f"/datasets/{served.archive.name}")
    response = busy.getresponse()
    begin = response.read(1000)
    assert notifier.process is not None
    notifier.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    eventually(lambda: "1 downloads are open" in notifier.log())
    idle.request("GET", "/healthz")
    answer = idle.getresponse()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert b"stopping" in answer.read()
    assert time.monotonic() - began < 2.0
    with pytest.raises(ConnectionRefusedError):
        notifier.ask("/healthz")
    assert begin + response.read() == served.archive.body
    assert notifier.process.wait(20.0) == 0
    busy.close()
    idle.close()


def test_a_download_that_was_cut_goes_on_at_the_next_notifier(
    tmp_path: Path, served: Steps
) -> None:
    home, target = tmp_path / "served", tmp_path / "part"
    first = NotifierProcess(home, DATAMILL_STOP_GRACE_SECS="0.5").start()
    url = f"{first.url}/datasets/{served.archive.name}"
    source = Source([url], len(served.archive.body), served.archive.sha256)
    go_on, resumed_at = threading.Event(), []

    def progress(here: int, _total: int) -> None:
        if not go_on.is_set():
            resumed_at.append(here)
            assert go_on.wait(60.0)

    trainer = threading.Thread(target=fetch, args=(source, target, progress))
    trainer.start()
    eventually(lambda: resumed_at)
    assert first.stop() == 0
    assert "were cut off" in first.log()
    second = NotifierProcess(home).start()
    assert second.url == first.url, "clients find it where the other one was"
    go_on.set()
    trainer.join(60.0)
    assert file_sha256(target) == served.archive.sha256
    assert len(served.archive.body) > resumed_at[0] > 0
    assert second.stop() == 0


# --- a whole service ---


@pytest.fixture
def up(tmp_path: Path) -> Iterator[UpProcess]:
    """A service on a home of its own, with a node of its own."""
    home = tmp_path / "up"
    make_toy(home / "wheels")
    write_items(home / "raw", ["sleep 0.2 zzz"] * 80)
    service = UpProcess(home)
    yield service
    service.stop()


def _shards_done(up: UpProcess, dataset_id: str) -> int:
    return int(up.documents("status", dataset_id)[0].get("shards_done") or 0)


@pytest.mark.usefixtures("node")  # skips where there is no RabbitMQ
def test_a_service_that_is_told_to_stop_ends_in_order_and_goes_on_later(up: UpProcess) -> None:
    up.start()
    dataset_id = up.said("request", "toy", "1.0.0").strip()
    up.wait_for(lambda: _shards_done(up, dataset_id) > 0, timeout_secs=90.0)
    processes = up.processes()
    assert up.process is not None
    up.process.terminate()
    assert up.wait(60.0) == 0
    wait_until_gone(processes, timeout_secs=2.0)
    log = up.log()
    order = [log.index(f"stopping the {part}") for part in ("builder", "notifier", "broker")]
    assert order == sorted(order)
    assert "killed" not in log
    up.start()
    assert up.said("request", "toy", "1.0.0", "--wait").startswith(dataset_id)


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    "part",
    [
        pytest.param("builder", marks=pytest.mark.long),
        pytest.param("notifier", marks=pytest.mark.long),
        "broker",
    ],
)
def test_a_part_that_is_stopped_ends_in_order_and_is_started_again(
    up: UpProcess, part: str
) -> None:
    up.start()
    dataset_id = up.said("request", "toy", "1.0.0").strip()
    up.wait_for(lambda: _shards_done(up, dataset_id) > 0, timeout_secs=90.0)
    before = up.pids()[part]
    os.kill(before, signal.SIGTERM)
    up.wait_for(lambda: up.pids().get(part) not in (None, before), timeout_secs=90.0)
    assert process_state(before) == "X"
    if part != "broker":
        assert f"the {part} ended (exit code 0)" in up.log()
    assert up.said("request", "toy", "1.0.0", "--wait").startswith(dataset_id)
