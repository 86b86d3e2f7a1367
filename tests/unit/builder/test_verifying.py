"""`datamill verify`: every byte of the store is looked at, and what is damaged is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datamill_builder.catalog import Catalog, hook_calls, lifecycle
from datamill_builder.catalog.outbox import unsent
from datamill_builder.catalog.states import BuildState
from datamill_builder.store import Store
from datamill_producer.cli import datamill
from tests.support import rot
from tests.support.archives import example, pack
from tests.support.catalog_steps import Steps

Run = Callable[..., Result]
SHARDS = 3


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """The catalog of a home: the command opens it anew."""
    opened = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def make(catalog: Catalog, store: Store) -> Callable[..., Steps]:
    """Make datasets of different content, each with three shards."""
    made = 0

    def make_one(**more: Any) -> Steps:
        nonlocal made
        made += 1
        records = [[example(number=n, text=b"%d" % made * 400)] for n in range(SHARDS)]
        archive = pack({"train": records}, content_key=f"{made:064x}", **more)
        return Steps(catalog, store, {"number": made}, archive=archive)

    return make_one


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path))
    for name in ("RAW_ROOT", "BROKER_URL", "URL", "CATALOG_URL"):
        monkeypatch.delenv(f"DATAMILL_{name}", raising=False)
    return lambda *given: CliRunner().invoke(datamill, ["verify", *given])


def documents(result: Result, code: int) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def path(made: Steps) -> Path:
    return made.store.archive_path(made.archive.name)


def state(made: Steps) -> str:
    with made.catalog.read() as connection:
        build = lifecycle.find_build(connection, made.content_key)
    assert build is not None
    return str(build.state)


def row(made: Steps, number: int) -> Any:
    with made.catalog.read() as connection:
        return lifecycle.find_shard(connection, made.content_key, number)


def flip(file: Path, at: int) -> None:
    """Flip a bit, so that nothing but the bytes shows it."""
    body = bytearray(file.read_bytes())
    body[at] ^= 1
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(body)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_all_is_sound(make: Callable[..., Steps], run: Run) -> None:
    ready, building = make().ready(), make().accepted().resolved().planned().shard_made(1)
    found = documents(run("--json"), 0)
    shard = building.manifest.shards[1]
    assert (found["ok"], found["files"]) == (True, 2)
    assert found["bytes"] == len(ready.archive.body) + shard.bytes
    assert {each["verdict"] for each in found["found"]} == {"sound"}
    assert "2 files" in run().stdout and "all sound" in run().stdout


@pytest.mark.parametrize("number", range(SHARDS))
def test_the_shard_that_is_damaged_is_named(
    make: Callable[..., Steps], run: Run, store: Store, number: int
) -> None:
    rotten, whole = make().ready(), make().ready()
    flip(path(rotten), row(rotten, number).archive_offset + 20)
    found = documents(run("--json"), 1)
    (bad,) = [each for each in found["found"] if each["verdict"] != "sound"]
    assert (bad["content_key"], bad["verdict"]) == (rotten.content_key, "damaged")
    assert bad["shards"] == [number]
    assert bad["says"] == [f"damaged shards, of {SHARDS} from 0 on: {number}"]
    assert bad["kept"] == str(store.root / "quarantine" / rotten.archive.name)
    assert not path(rotten).exists() and Path(bad["kept"]).exists()
    assert (state(rotten), state(whole)) == (BuildState.EVICTED, BuildState.READY)
    with rotten.catalog.read() as connection:
        told = [message.routing_key for message in unsent(connection)]
    assert f"dataset.evicted.{rotten.dataset_id}" in told
    assert documents(run("--json"), 0)["files"] == 1


def test_hooks_are_told_of_what_is_evicted(
    make: Callable[..., Steps], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = {"name": "chat", "url": "https://chat.example/hook", "events": ["evicted"]}
    monkeypatch.setenv("DATAMILL_HOOKS", json.dumps([hook]))
    rotten = make().ready()
    make().ready()
    flip(path(rotten), row(rotten, 0).archive_offset + 20)
    documents(run("--dry-run", "--json"), 1)
    documents(run("--json"), 1)
    with rotten.catalog.read() as connection:
        (call,) = hook_calls.listed(connection)
    assert (call.hook, call.event, call.dataset_id) == ("chat", "evicted", rotten.dataset_id)
    assert json.loads(call.body)["content_key"] == rotten.content_key


@pytest.mark.parametrize("place", [5, -5, -60])
def test_damage_outside_of_shards_is_told_from_damage_inside(
    make: Callable[..., Steps], run: Run, place: int
) -> None:
    made = make().ready()
    flip(path(made), place)
    (bad,) = documents(run("--json"), 1)["found"]
    assert (bad["shards"], bad["verdict"]) == ([], "damaged")
    assert bad["says"] == ["its shards are whole, what is said of them is damaged"]


def test_what_is_cut_off_or_gone(make: Callable[..., Steps], run: Run) -> None:
    cut, gone = make().ready(), make().ready()
    rot.truncate(path(cut))
    path(gone).unlink()
    found = {each["content_key"]: each for each in documents(run("--json"), 1)["found"]}
    size = len(cut.archive.body)
    assert f"{size - 1} of {size} bytes could be read" in found[cut.content_key]["says"]
    assert found[gone.content_key]["verdict"] == "gone"
    assert state(cut) == state(gone) == BuildState.EVICTED


def test_nothing_to_read_is_no_all_clear(catalog: Catalog, store: Store, run: Run) -> None:
    """As in the home of a trainer, which has no store of its own."""
    result = run()
    assert result.exit_code == 0
    assert result.stdout == f"0 files, 0 B read: nothing lies in {store.root}\n"


def test_a_dry_run_changes_nothing(make: Callable[..., Steps], run: Run) -> None:
    made, building = make().ready(), make().accepted().resolved().planned().shard_made(0)
    loose = made.store.shard_path(building.content_key, row(building, 0).file)
    flip(path(made), row(made, 1).archive_offset)
    flip(loose, 30)
    result = run("--dry-run")
    assert result.exit_code == 1
    assert f"DAMAGED  {made.archive.name}: damaged shards, of 3 from 0 on: 1\n" in result.stdout
    assert f"DAMAGED  shard 0 of {building.content_key[:12]}: " in result.stdout
    assert result.stdout.splitlines()[-1].endswith("2 of 2 files are not sound")
    assert path(made).exists() and loose.exists()
    assert state(made) == BuildState.READY


def test_a_loose_shard_that_is_damaged_is_set_aside(
    make: Callable[..., Steps], run: Run, store: Store
) -> None:
    made = make().accepted().resolved().planned().shards_made()
    file = store.shard_path(made.content_key, row(made, 2).file)
    flip(file, 30)
    found = documents(run("--json", made.dataset_id[:10]), 1)
    bad = [each for each in found["found"] if each["verdict"] != "sound"]
    assert [(each["shards"], each["file"]) for each in bad] == [
        ([2], f"shard 2 of {made.content_key[:12]}")
    ]
    assert not file.exists() and Path(bad[0]["kept"]).exists()
    assert state(made) == BuildState.PACKING, "packing has it made again"


def test_a_zip_that_was_packed_wrongly_is_said_and_stays(
    make: Callable[..., Steps], run: Run
) -> None:
    made = make(extra={"notes.txt": b"?"}).ready()
    (bad,) = documents(run("--json"), 1)["found"]
    assert (bad["verdict"], bad["says"]) == ("damaged", ["notes.txt does not belong there"])
    assert bad["kept"] is None and path(made).exists(), "its bytes are those that were packed"


def test_only_those_that_are_named(make: Callable[..., Steps], run: Run) -> None:
    first, second = make().ready(), make().ready()
    rot.flip_bit(path(second))
    assert documents(run("--json", first.dataset_id[:8]), 0)["files"] == 1
    assert documents(run("--json", first.content_key, second.dataset_id), 1)["files"] == 2


def test_what_was_touched_and_is_whole_is_known_again(
    make: Callable[..., Steps], run: Run, store: Store
) -> None:
    made = make().ready()
    body = path(made).read_bytes()
    path(made).unlink()
    path(made).write_bytes(body)
    assert run().exit_code == 0
    with made.catalog.read() as connection:
        build = lifecycle.find_build(connection, made.content_key)
    assert build is not None
    assert build.archive_mark == store.archive_mark(made.archive.name)
    assert build.scrubbed_at is not None, "the scrubber need not look so soon"


def test_ids_that_are_none(make: Callable[..., Steps], run: Run) -> None:
    evicted = make().ready().evicted()
    assert run("xyz").exit_code == 2
    assert run("0" * 64).exit_code == 5
    assert run(evicted.dataset_id).exit_code == 5
    assert "`datamill list`" in run("f" * 10).stderr


def test_where_no_service_is_it_says_where_to_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "elsewhere"))
    result = run()
    assert result.exit_code == 78
    assert "on the data server itself" in result.stderr
    assert not (tmp_path / "elsewhere").exists(), "and no empty catalog is made"
