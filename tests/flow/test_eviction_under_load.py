"""The store is far too small for what is asked of it, and nobody's download is broken.

What is downloaded stays, though nobody asked for it for hours; what is asked for is there, or goes
once and is built again.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select

import datamill
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds, downloads
from tests.support.ageing import open_for, unused_for
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.listener import Connect, PlainClient
from tests.support.notifier import NotifierProcess
from tests.support.slow_download import SlowDownload
from tests.support.toy import SOURCE, write_items
from tests.support.trainer import trainer_cache
from tests.support.wheels import make_wheel
from tests.unit.builder.records import example, write_records

__all__ = ["trainer_cache"]

FILL_BYTES = 2 * 1024 * 1024
ITEMS = 6
SIZE_BYTES = FILL_BYTES * ITEMS
"""Of an archive, a little less than: more than the buffers of both ends of a connection."""
NAMES = ("a", "b", "c", "d", "e", "f")
PINNED, SLOW = "a", "b"
BUDGET_BYTES = int(3.5 * SIZE_BYTES)
LOAD_SECS = 12.0
DAY_SECS = 86_400.0
HOURS_SECS = 5 * 3600.0
"""For so long the slow download seems to be under way: nothing else keeps its archive."""
PIECE_BYTES = 1024 * 1024

BIG = (
    SOURCE
    + '''
class Big(Toy):
    """Much for little work: a large record, always the same, beside each small one."""
    raw_folder = "toy"
    records_per_shard = 3

    def write_shard(self, items, path, content_key, progress=None):
        with open("FILL", "rb") as file:
            fill = file.read()
        digest, size = hashlib.sha256(), 0
        with open(path, "wb") as file:
            for item in items:
                number, line = item["key"].split(" ", 1)
                small = record(example((self.config["prefix"] + line).encode(), int(number)))
                for data in (small, fill):
                    file.write(data); digest.update(data); size += len(data)
        records = 2 * len(items)
        return {"records": records, "bytes": size, "sha256": digest.hexdigest(), "skipped": []}
'''
)


@pytest.fixture
def big_home(home: Path) -> Path:
    """A home with a handler that makes large archives quickly."""
    fill = write_records(home / "fill", [example(number=[0], text=[b"x" * FILL_BYTES])])
    source = BIG.replace("FILL", str(fill))
    points = {"big": "big_handlers:Big"}
    make_wheel(home / "wheels", "big-handlers", "1.0.0", {"big_handlers.py": source}, points)
    write_items(home / "raw", [f"item {number}" for number in range(ITEMS)])
    return home


@pytest.fixture
def notifier(big_home: Path, broker_url: str) -> Iterator[NotifierProcess]:
    process = NotifierProcess(big_home, broker_url).start()
    yield process
    assert process.stop() == 0, process.log()
    assert "not foreseen" not in process.log()


@dataclass
class Load:
    """What all who take part share. `first`: how each dataset was when it was built first."""

    notifier: NotifierProcess
    catalog: Catalog
    first: dict[str, dict[str, Any]]
    stopping: threading.Event = field(default_factory=threading.Event)
    broken: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    missed: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often a dataset was gone between two pieces, by the number of who read it."""

    def id_of(self, name: str) -> str:
        return str(self.first[name]["dataset_id"])

    def asked(self, name: str) -> dict[str, Any]:
        """Ask until it is ready; return where it is."""
        said = json.dumps(request_of(name)).encode()

        def answer() -> dict[str, Any] | None:
            state = self.notifier.ask(f"/datasets/{self.id_of(name)}").document
            if state["state"] == "evicted":
                assert self.notifier.ask("/requests", "POST", said).status == 202
            assert state["state"] not in ("failed", "cancelled"), state
            return state["ready"]  # type: ignore[no-any-return]

        assert self.notifier.ask("/requests", "POST", said).status == 202
        return eventually(answer) or {}


def request_of(name: str) -> dict[str, Any]:
    config = {"prefix": f"{name} "}
    return {"dataset_name": "big", "handler_version": "1.0.0", "dataset_config": config}


class Part(threading.Thread):
    """One who takes part, with dice of its own."""

    def __init__(self, load: Load, number: int) -> None:
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.dice = random.Random(number)

    def run(self) -> None:
        try:
            while not self.load.stopping.is_set():
                self.act()
        except (AssertionError, OSError, http.client.HTTPException) as error:
            self.load.broken.append(f"{type(self).__name__}: {error!r}")

    def act(self) -> None:
        raise NotImplementedError


class Reader(Part):
    """Downloads whole archives, the one chunk after the other, some slower than others."""

    def act(self) -> None:
        name = self.dice.choice(NAMES)
        ready = self.load.asked(name)
        pause_secs = self.dice.choice([0.0, 0.0, 0.05])
        place = urlsplit(ready["url"])
        connection = http.client.HTTPConnection(place.netloc, timeout=30)
        with closing(connection):
            connection.request("GET", place.path)
            with closing(connection.getresponse()) as response:
                if response.status == 404:
                    self.load.counts["gone before it began"] += 1
                    return
                assert response.status == 200, response.status
                digest = hashlib.sha256()
                while chunk := response.read(PIECE_BYTES):
                    digest.update(chunk)
                    self.load.stopping.wait(pause_secs)
        assert digest.hexdigest() == self.load.first[name]["sha256"], f"{name} is broken"
        self.load.counts["read whole"] += 1


class RangeReader(Part):
    """Downloads piece by piece; what is gone between two pieces it asks for, and goes on."""

    def act(self) -> None:
        name = self.dice.choice(NAMES)
        ready = self.load.asked(name)
        body = b""
        while len(body) < ready["bytes"]:
            end = min(len(body) + PIECE_BYTES, ready["bytes"]) - 1
            headers = {"Range": f"bytes={len(body)}-{end}", "If-Range": f'"{ready["sha256"]}"'}
            answer = self.load.notifier.ask(urlsplit(ready["url"]).path, headers=headers)
            if answer.status == 404:
                self.load.counts["gone between two pieces"] += bool(body)
                self.load.missed[name, self.number] += 1
                ready = self.load.asked(name)
                continue
            assert answer.status == 206, (answer.status, "the bytes are the same each time")
            body += answer.body
            self.load.stopping.wait(self.dice.choice([0.0, 0.0, 0.3]))
        digest = hashlib.sha256(body).hexdigest()
        assert digest == self.load.first[name]["sha256"], f"{name} is broken"
        self.load.counts["read by pieces"] += 1


class Administrator(Part):
    """Lets time go by, tidies up, and takes away what is not even old."""

    def act(self) -> None:
        load = self.load
        load.stopping.wait(0.2)
        for name in NAMES:
            unused_for(load.catalog, load.first[name]["content_key"], DAY_SECS)
        if self.dice.random() < 0.4:
            budget = int(self.dice.uniform(1.5, 3.0) * SIZE_BYTES)
            done = load.notifier.admin(f"/admin/gc?budget={budget}", "POST").document
            load.counts["taken by gc"] += len(done["gone"])
            assert all(each["why"] for each in done["stay"])
        if self.dice.random() < 0.4:
            name = self.dice.choice([each for each in NAMES if each != SLOW])
            path = f"/admin/datasets/{load.id_of(name)}/evict?force=1"
            answer = load.notifier.admin(path, "POST")
            assert answer.status in (200, 409), answer.body
            if name == PINNED:
                assert answer.document["error"] == "kept", "not even by force"
            load.counts["taken by force"] += answer.status == 200


def evictions(trainer: PlainClient, dataset_id: str) -> int:
    return trainer.seen(dataset_id).count("evicted")


def taken_by_the_builder(builder: BuilderProcess) -> int:
    return builder.log().count("taken away")


@pytest.mark.slow
def test_nobodys_download_is_broken(
    big_home: Path,
    start_builder: Start,
    client: Connect,
    notifier: NotifierProcess,
    trainer_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {
        "DATAMILL_PUBLIC_URL": notifier.url,
        "DATAMILL_STORE_BUDGET_BYTES": str(BUDGET_BYTES),
    }
    builder = start_builder(big_home, **settings)
    trainer = client()
    first = {}
    for name in NAMES:
        first[name] = trainer.wait(trainer.ask("big", config=request_of(name)["dataset_config"]))
        assert first[name]["event"] == "ready", first[name]
    alias = trainer.ask("big", config={"prefix": "c ", "repeat": 1})
    assert trainer.wait(alias)["content_key"] == first["c"]["content_key"]
    with closing(builder.catalog) as catalog:
        load = Load(notifier, catalog, first)
        pinned = f"/admin/datasets/{load.id_of(PINNED)}/pin"
        assert notifier.admin(pinned, "POST").document["changed"]
        with SlowDownload(notifier, f"/datasets/{first[SLOW]['archive']}") as slow:
            _has_been_slow_for_hours(load)
            _bear(load, trainer, trainer_cache, monkeypatch)
            assert _found(load, SLOW) == (1, "ready"), "what is downloaded is not even built again"
            forced = f"/admin/datasets/{load.id_of(SLOW)}/evict?force=1"
            assert notifier.admin(forced, "POST").status == 200
            assert slow.finish() == first[SLOW]["sha256"], "what has begun is read to its end"
        assert not load.broken
        print(dict(load.counts), "taken by the builder:", taken_by_the_builder(builder))
        assert load.counts["read whole"] > 5 and load.counts["read by pieces"] > 2
        assert load.counts["taken by gc"] and load.counts["taken by force"]
        assert taken_by_the_builder(builder)
        _all_were_told(load, trainer, alias)
        for name in NAMES:
            again = load.asked(name)
            assert (again["sha256"], again["bytes"]) == (
                first[name]["sha256"],
                first[name]["bytes"],
            )
    assert builder.stop() == 0
    assert "not foreseen" not in builder.log()


def _has_been_slow_for_hours(load: Load) -> None:
    content_key = load.first[SLOW]["content_key"]
    under_way = (downloads.c.content_key == content_key) & downloads.c.ended_at.is_(None)

    def begun() -> bool:
        with load.catalog.read() as connection:
            return bool(connection.scalar(select(func.count()).where(under_way)))

    eventually(begun)
    open_for(load.catalog, content_key, HOURS_SECS)


def _found(load: Load, name: str) -> tuple[int, str]:
    """Return the epoch and the state of a build."""
    mine = builds.c.content_key == load.first[name]["content_key"]
    with load.catalog.read() as connection:
        epoch, state = connection.execute(select(builds.c.epoch, builds.c.state).where(mine)).one()
    return epoch, state


def _bear(load: Load, trainer: PlainClient, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have many download while much is taken away; real trainings are among them."""
    parts: list[Part] = [Administrator(load, 0)]
    parts += [Reader(load, number) for number in range(1, 4)]
    parts += [RangeReader(load, number) for number in range(4, 6)]
    for part in parts:
        part.start()
    deadline = time.monotonic() + LOAD_SECS
    turn = 0
    while time.monotonic() < deadline and not load.broken:
        name = NAMES[turn % len(NAMES)]
        monkeypatch.setenv("DATAMILL_CACHE", str(cache / str(turn)))  # so that each one downloads
        dataset = datamill.request_dataset("big", "1.0.0", request_of(name)["dataset_config"])
        dataset.wait(timeout=60)
        assert dataset.manifest.records == 2 * ITEMS
        load.counts["trained on"] += 1
        trainer.listen(0.05)
        turn += 1
    load.stopping.set()
    for part in parts:
        part.join(90)
        assert not part.is_alive()


def _all_were_told(load: Load, trainer: PlainClient, alias: str) -> None:
    """Each eviction was told to each id; of what is pinned there was none."""
    for name in NAMES:
        epoch, state = _found(load, name)
        # Built again as often as it was evicted, but for the last time.
        expected = epoch - 1 + (state == "evicted")
        ids = [load.id_of(name), *([alias] if name == "c" else [])]
        for dataset_id in ids:
            while evictions(trainer, dataset_id) < expected:
                trainer.wait(dataset_id, "evicted", after=len(trainer.events))
        # Who reads by pieces misses it once each time: then it is asked for, and there.
        missed = [count for (which, _), count in load.missed.items() if which == name]
        assert max(missed, default=0) <= expected, (name, load.missed)
    assert not evictions(trainer, load.id_of(PINNED))
    assert _found(load, PINNED) == (1, "ready")
