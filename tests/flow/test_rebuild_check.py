"""`datamill rebuild --check`, and `verify` beside it, on what a real builder has built."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds, raw_versions
from datamill_builder.raw import raw_version
from datamill_producer.cli import datamill
from datamill_producer.rabbitmq import PrivateNode
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient
from tests.support.toy import SOURCE, write_items
from tests.support.wheels import make_wheel

ODD = (
    SOURCE
    + '''
class Drifting(Toy):
    """Writes another text whenever its clock file says so."""
    raw_folder = "clock"

    def write_shard(self, items, path, content_key, progress=None):
        with open("CLOCK") as clock:
            self.config = {**self.config, "prefix": clock.read()}
        return super().write_shard(items, path, content_key, progress)


class Classic:
    raw_folder = "toy"

    def __init__(self, config, base_data_path): self.config = config

    @staticmethod
    def config_options(): return {"files": 2}

    def as_tfrecord(self):
        with open("CLOCK") as clock:
            text = clock.read().encode()
        names = [f"out-{number}.tfrecord" for number in range(self.config["files"])]
        for number, name in enumerate(names):
            with open(name, "wb") as file:
                file.write(record(example(text if number else b"same", number)))
        return names

    def tf_records_mapper(self, files): raise NotImplementedError
'''
)


@dataclass
class Built:
    """A home with three datasets: the toy's, one that is not a function of its raw data, and one
    that is made in one piece."""

    home: Path
    clock: Path
    ids: dict[str, str] = field(default_factory=dict)
    ready: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def catalog(self) -> Catalog:
        return Catalog(f"sqlite:///{self.home / 'catalog.sqlite'}")


@pytest.fixture(scope="module")
def built(
    prepared_home: Path, node: PrivateNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("rebuild")
    home, clock = folder / "home", folder / "clock.txt"
    shutil.copytree(prepared_home, home, symlinks=True)
    clock.write_text("then")
    for name in ("toy", "clock"):
        write_items(home / "raw", [f"item {number}" for number in range(20)], dataset=name)
    points = {"drifting": "odd_handlers:Drifting", "classic": "odd_handlers:Classic"}
    source = ODD.replace("CLOCK", str(clock))
    make_wheel(home / "wheels", "odd-handlers", "1.0.0", {"odd_handlers.py": source}, points)
    vhost = f"test-{uuid.uuid4().hex[:12]}"
    builder = BuilderProcess(home, node.add_vhost(vhost)).start()
    trainer = PlainClient(builder.broker_url)
    found = Built(home, clock)
    for name in ("toy", "drifting", "classic"):
        found.ids[name] = trainer.ask(name)
        found.ready[name] = trainer.wait(found.ids[name])
        assert found.ready[name]["event"] == "ready", found.ready[name]
    trainer.close()
    yield found
    assert builder.stop() == 0
    node.delete_vhost(vhost)


@pytest.fixture
def run(built: Built, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    monkeypatch.setenv("DATAMILL_HOME", str(built.home))
    monkeypatch.setenv("DATAMILL_HANDLER_SOURCES", str(built.home / "wheels"))
    for name in ("RAW_ROOT", "BROKER_URL", "URL", "CATALOG_URL"):
        monkeypatch.delenv(f"DATAMILL_{name}", raising=False)
    yield lambda *given: CliRunner().invoke(datamill, given)
    built.clock.write_text("then")


def rebuilt(run: Callable[..., Result], dataset_id: str, *more: str, code: int = 0) -> Any:
    result = run("rebuild", "--check", dataset_id, "--json", *more)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_equal_bytes(built: Built, run: Callable[..., Result]) -> None:
    found = rebuilt(run, built.ids["toy"][:12], "--shards", "3", "--seed", "7")
    assert (found["ok"], found["seed"], found["finished_shards"]) == (True, 7, 5)
    numbers = [each["shard"] for each in found["shards"]]
    assert len(numbers) == 3 and numbers == sorted(set(numbers))
    assert all(each["equal"] and each["sha256"] == each["again"] for each in found["shards"])
    same = rebuilt(run, built.ids["toy"], "--seed", "7")
    assert [each["shard"] for each in same["shards"]] == numbers, "the seed says which"
    everything = run("rebuild", "--check", built.ids["toy"], "--shards", "99")
    assert everything.exit_code == 0
    assert "5 shards built once more (of 5, seed " in everything.stdout
    assert "all bytes are equal" in everything.stdout


def test_nothing_of_the_store_is_touched(built: Built, run: Callable[..., Result]) -> None:
    store = built.home / "store"

    def state() -> dict[str, float]:
        kept = [path for path in store.rglob("*") if "scratch" not in path.parts]
        return {str(path): path.stat().st_mtime for path in kept if path.is_file()}

    before = state()
    rebuilt(run, built.ids["toy"])
    assert state() == before


def test_what_drifts_is_found(built: Built, run: Callable[..., Result]) -> None:
    assert rebuilt(run, built.ids["drifting"])["ok"]
    built.clock.write_text("now!")
    found = rebuilt(run, built.ids["drifting"], "--shards", "2", code=1)
    assert [each["equal"] for each in found["shards"]] == [False, False]
    said = run("rebuild", "--check", built.ids["drifting"], "--shards", "99")
    assert said.exit_code == 1
    assert "OTHER BYTES: as many records and bytes, but others" in said.stdout
    assert said.stdout.splitlines()[-1].endswith("shards 0, 1, 2, 3, 4 have other bytes")


def test_what_is_made_in_one_piece_is_made_again_in_one_piece(
    built: Built, run: Callable[..., Result]
) -> None:
    found = rebuilt(run, built.ids["classic"], "--shards", "1")
    assert (found["in_one_piece"], [each["shard"] for each in found["shards"]]) == (True, [0, 1])
    assert found["ok"]
    built.clock.write_text("another text")
    found = rebuilt(run, built.ids["classic"], "--shards", "1", code=1)
    assert [each["equal"] for each in found["shards"]] == [True, False]
    assert "1 records in " in found["shards"][1]["says"]


def test_without_its_plan_the_items_are_listed_anew(
    built: Built, run: Callable[..., Result]
) -> None:
    plans = built.home / "store" / "plans" / built.ready["toy"]["content_key"]
    aside = plans.rename(plans.with_name("aside"))
    try:
        assert rebuilt(run, built.ids["toy"])["ok"]
    finally:
        aside.rename(plans)


def test_other_raw_data_cannot_be_compared(built: Built, run: Callable[..., Result]) -> None:
    items = built.home / "raw" / "toy" / "items.txt"
    before, times = items.read_text(), items.stat()
    items.write_text("other\n")
    try:
        result = run("rebuild", "--check", built.ids["toy"])
        assert (result.exit_code, result.stdout) == (1, "")
        assert "its raw data is another by now" in result.stderr
        assert "can't be compared" in result.stderr
        shutil.rmtree(items.parent)
        gone = run("rebuild", "--check", built.ids["toy"])
        assert gone.exit_code == 1 and "its raw data is gone" in gone.stderr
    finally:
        items.parent.mkdir(exist_ok=True)
        items.write_text(before)
        os.utime(items, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert rebuilt(run, built.ids["toy"])["ok"], "as it was: it can be compared again"


def test_since_when_raw_data_is_another_is_said_where_it_is_known(
    built: Built, run: Callable[..., Result]
) -> None:
    """Whoever looks at raw data notes its version, and when it was first seen."""
    folder = built.home / "raw" / "clock"
    items = folder / "items.txt"
    before = items.read_text()
    items.write_text("other\n")
    catalog = built.catalog
    digest = raw_version(catalog, folder, "auto").digest
    with catalog.write() as change:
        table = raw_versions.c
        of_it = update(raw_versions).where(table.folder == str(folder), table.version == digest)
        noted = change.connection.execute(of_it.values(first_seen_at=1_600_000_000.0))
        assert noted.rowcount == 1
    catalog.close()
    try:
        result = run("rebuild", "--check", built.ids["drifting"])
        assert "since 2020-09-13 12:26 UTC" in result.stderr
    finally:
        items.write_text(before)


def test_what_was_never_built(built: Built, run: Callable[..., Result]) -> None:
    assert run("rebuild", "--check", "0" * 64).exit_code == 5
    assert run("rebuild", "--check", "nonsense").exit_code == 2
    assert run("rebuild", built.ids["toy"]).exit_code == 2, "to check is all that it does"


def test_a_build_of_another_format_cannot_be_compared(
    built: Built, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datamill_builder.recipe.FORMAT", 99)
    result = run("rebuild", "--check", built.ids["toy"])
    assert result.exit_code == 1
    assert "by a Datamill that made other bytes" in result.stderr


def test_what_a_builder_built_is_sound(built: Built, run: Callable[..., Result]) -> None:
    result = run("verify", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {each["file"] for each in found["found"]} == {
        ready["archive"] for ready in built.ready.values()
    }
    assert found["bytes"] == sum(ready["bytes"] for ready in built.ready.values())


def test_an_evicted_dataset_can_still_be_checked(built: Built, run: Callable[..., Result]) -> None:
    catalog = built.catalog
    mine = builds.c.content_key == built.ready["toy"]["content_key"]
    try:
        with catalog.write() as change:
            change.connection.execute(update(builds).where(mine).values(state="evicted"))
        assert rebuilt(run, built.ids["toy"])["ok"]
    finally:
        with catalog.write() as change:
            change.connection.execute(update(builds).where(mine).values(state="ready"))
        catalog.close()
