"""Pinning, evicting and tidying up over HTTP, without a broker."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from datamill_builder.catalog import Catalog, lifecycle, outbox
from datamill_builder.catalog.holdings import KEPT_SECS
from datamill_builder.catalog.schema import downloads
from datamill_builder.store import Store
from tests.support.ageing import unused_for
from tests.support.archives import example, pack
from tests.support.catalog_steps import Steps
from tests.support.eventually import eventually
from tests.support.notifier import NotifierProcess
from tests.support.slow_download import SlowDownload

BIG_BYTES = 24 * 1024 * 1024
"""More than the buffers of both ends of a loopback connection."""
DAY_SECS = 86_400.0
UNKNOWN = "0" * 64


@pytest.fixture
def ask(notifier: NotifierProcess) -> Callable[..., Any]:
    """Have something done to a dataset; return the answer."""

    def do(what: str, made: Steps | str, query: str = "") -> Any:
        name = made if isinstance(made, str) else made.dataset_id
        return notifier.admin(f"/admin/datasets/{name}/{what}{query}", "POST")

    return do


@pytest.fixture
def big(home: Path, catalog: Catalog) -> Iterator[Callable[[], Steps]]:
    """Make large datasets, which nobody has used for a day."""
    store = Store(home / "store")

    def make() -> Steps:
        body = os.urandom(BIG_BYTES)
        archive = pack({"train": [[example(number=1, text=body)]]}, content_key=body[:32].hex())
        made = Steps(catalog, store, {"big": archive.name}, archive=archive).ready()
        unused_for(catalog, made.content_key, DAY_SECS)
        return made

    yield make


def path(made: Steps) -> Path:
    return made.store.archive_path(made.archive.name)


def told(catalog: Catalog) -> list[str]:
    with catalog.read() as connection:
        return [message.routing_key for message in outbox.unsent(connection)]


# --- pin and unpin --------------------------------------------------------------------------------


def test_administration_asks_for_the_token(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().ready()
    paths = [f"/admin/datasets/{made.dataset_id}/{do}" for do in ("pin", "unpin", "evict")]
    for asked in [*paths, "/admin/gc"]:
        assert notifier.ask(asked, "POST").status == 401
    assert path(made).exists()


def test_what_is_pinned_stays_until_it_is_unpinned(
    ask: Callable[..., Any], steps: Callable[..., Steps], catalog: Catalog
) -> None:
    made = steps().ready()
    unused_for(catalog, made.content_key, DAY_SECS)
    document = {"dataset_id": made.dataset_id, "content_key": made.content_key, "pinned": True}
    assert ask("pin", made).document == {**document, "changed": True}
    assert ask("pin", made).document == {**document, "changed": False}
    for query in ("", "?force=1"):
        refused = ask("evict", made, query)
        assert (refused.status, refused.document["error"]) == (409, "kept")
        assert "unpin" in refused.document["message"]
    assert ask("unpin", made).document == {**document, "pinned": False, "changed": True}
    assert ask("evict", made).status == 200


def test_another_id_of_the_same_content_pins_it_too(
    ask: Callable[..., Any], steps: Callable[..., Steps]
) -> None:
    made = steps().ready()
    alias = Steps(made.catalog, made.store, {"other": made.content_key}, archive=made.archive)
    alias.accepted().resolved()
    assert ask("pin", alias).document["content_key"] == made.content_key
    assert ask("evict", made, "?force=1").status == 409
    assert ask("unpin", made.content_key).document["changed"], "by its content key, too"


def test_what_is_not_known_yet_can_be_neither_pinned_nor_evicted(
    ask: Callable[..., Any], steps: Callable[..., Steps]
) -> None:
    queued, building = steps().accepted(), steps().accepted().resolved().planned()
    for do in ("pin", "evict"):
        assert ask(do, UNKNOWN).status == 404
        assert ask(do, "x").status == 404
        assert ask(do, queued).status == 409
    refused = ask("evict", building)
    assert (refused.status, refused.document["error"]) == (409, "conflict")
    assert "building" in refused.document["message"]
    assert ask("pin", building).document["changed"], "it stays once it is ready"


# --- evict ----------------------------------------------------------------------------------------


def test_evicting_takes_the_archive_and_tells_all(
    ask: Callable[..., Any],
    steps: Callable[..., Steps],
    catalog: Catalog,
    notifier: NotifierProcess,
) -> None:
    made = steps().ready()
    alias = Steps(made.catalog, made.store, {"alias": made.content_key}, archive=made.archive)
    alias.accepted().resolved()
    refused = ask("evict", made)
    assert (refused.status, refused.document["error"]) == (409, "kept")
    assert "--force" in refused.document["message"]
    unused_for(catalog, made.content_key, DAY_SECS)
    answer = ask("evict", made)
    assert (answer.status, answer.document) == (
        200,
        {
            "dataset_id": made.dataset_id,
            "content_key": made.content_key,
            "what": "archive",
            "archive": made.archive.name,
            "bytes": len(made.archive.body),
        },
    )
    assert not path(made).exists()
    for each in (made, alias):
        assert f"dataset.evicted.{each.dataset_id}" in told(catalog)
        assert notifier.ask(f"/datasets/{each.dataset_id}").document["state"] == "evicted"
    assert notifier.ask(f"/datasets/{made.archive.name}").status == 404
    again = ask("evict", made)
    assert (again.status, again.document["error"]) == (409, "conflict")
    assert "evicted" in again.document["message"]
    assert ask("evict", made, "?force=yes").status == 400


def test_the_shards_of_a_failed_build_can_be_evicted(
    ask: Callable[..., Any], steps: Callable[..., Steps]
) -> None:
    made = steps().accepted().resolved().planned().shard_made(0).failed("no")
    answer = ask("evict", made, "?force=1")
    assert (answer.document["what"], answer.document["archive"]) == ("shards", None)
    assert answer.document["bytes"] == made.manifest.shards[0].bytes
    assert not list((made.store.root / "shards" / made.content_key).iterdir())


@pytest.mark.parametrize("begin", [0, BIG_BYTES // 3], ids=["whole", "range"])
def test_a_download_keeps_its_archive_and_is_never_broken(
    ask: Callable[..., Any],
    big: Callable[[], Steps],
    notifier: NotifierProcess,
    catalog: Catalog,
    begin: int,
) -> None:
    made = big()
    with SlowDownload(notifier, f"/datasets/{made.archive.name}", begin) as download:
        eventually(lambda: _open_downloads(catalog, made))
        refused = ask("evict", made)
        assert (refused.status, refused.document["error"]) == (409, "kept")
        assert "downloaded" in refused.document["message"]
        assert ask("evict", made, "?force=1").status == 200
        assert not path(made).exists()
        assert download.finish() == hashlib.sha256(made.archive.body[begin:]).hexdigest()
    eventually(lambda: not _open_downloads(catalog, made))


@pytest.mark.parametrize("how", ["state", "event"])
def test_what_a_state_tells_ready_stays_for_an_hour(
    ask: Callable[..., Any],
    steps: Callable[..., Steps],
    notifier: NotifierProcess,
    catalog: Catalog,
    how: str,
) -> None:
    made = steps().ready()
    unused_for(catalog, made.content_key, DAY_SECS)
    if how == "state":
        assert notifier.ask(f"/datasets/{made.dataset_id}").document["ready"]
    else:
        answer = notifier.ask(f"/events?dataset={made.dataset_id}&secs=0.1")
        assert b"event: ready" in answer.body
    eventually(lambda: _told_at(catalog, made))
    refused = ask("evict", made)
    assert (refused.status, refused.document["error"]) == (409, "kept")
    unused_for(catalog, made.content_key, DAY_SECS)
    assert ask("evict", made).status == 200


def test_a_list_is_not_told_to_anybody_who_waits(
    ask: Callable[..., Any],
    steps: Callable[..., Steps],
    notifier: NotifierProcess,
    catalog: Catalog,
) -> None:
    made, noted = steps().ready(), steps().ready()
    for path_of_list in ("/datasets", "/overview", "/", "/events?secs=0"):
        assert notifier.ask(path_of_list).status == 200
    notifier.ask(f"/datasets/{noted.dataset_id}")
    eventually(lambda: _told_at(catalog, noted))
    assert _told_at(catalog, made) is None


def _told_at(catalog: Catalog, made: Steps) -> float | None:
    with catalog.read() as connection:
        build = lifecycle.find_build(connection, made.content_key)
    assert build is not None
    at: float | None = build.told_at
    return at


def test_what_is_asked_for_again_stays_while_it_is_looked_up(
    ask: Callable[..., Any], steps: Callable[..., Steps], catalog: Catalog
) -> None:
    made = steps().ready()
    with catalog.write() as change:
        lifecycle.resolve_again(change, made.dataset_id)
    unused_for(catalog, made.content_key, DAY_SECS)
    refused = ask("evict", made.content_key)
    assert (refused.status, refused.document["error"]) == (409, "kept")
    assert "asked for" in refused.document["message"]
    assert ask("evict", made.content_key, "?force=1").status == 200


def test_between_two_ranges_of_a_download_its_archive_stays(
    ask: Callable[..., Any],
    steps: Callable[..., Steps],
    notifier: NotifierProcess,
    catalog: Catalog,
) -> None:
    made = steps().ready()
    unused_for(catalog, made.content_key, DAY_SECS)
    place = f"/datasets/{made.archive.name}"
    assert notifier.ask(place, headers={"Range": "bytes=0-99"}).status == 206
    eventually(lambda: _downloads(catalog, made) and not _open_downloads(catalog, made))
    assert ask("evict", made).document["error"] == "kept"
    assert notifier.ask(place, headers={"Range": "bytes=100-"}).status == 206


def test_between_two_shards_of_a_reader_its_archive_stays(
    ask: Callable[..., Any],
    steps: Callable[..., Steps],
    notifier: NotifierProcess,
    catalog: Catalog,
) -> None:
    """A training fetches the next shard when this one is used up."""
    made = steps().ready()
    unused_for(catalog, made.content_key, DAY_SECS)
    place = f"/datasets/{made.dataset_id}/shards/"
    assert notifier.ask(f"{place}0").status == 200
    eventually(lambda: _read_at(catalog, made))
    refused = ask("evict", made)
    assert (refused.status, refused.document["error"]) == (409, "kept")
    assert notifier.ask(f"{place}1").status == 200
    assert _downloads(catalog, made) == [], "a shard is no download"
    unused_for(catalog, made.content_key, 2 * KEPT_SECS)
    assert ask("evict", made).status == 200


def _read_at(catalog: Catalog, made: Steps) -> float | None:
    with catalog.read() as connection:
        build = lifecycle.find_build(connection, made.content_key)
    assert build is not None
    return build.read_at  # type: ignore[no-any-return]


def _downloads(catalog: Catalog, made: Steps) -> list[Any]:
    with catalog.read() as connection:
        mine = downloads.c.content_key == made.content_key
        return list(connection.execute(select(downloads).where(mine)))


def _open_downloads(catalog: Catalog, made: Steps) -> list[Any]:
    return [row for row in _downloads(catalog, made) if row.ended_at is None]


# --- gc -------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., tuple[NotifierProcess, list[Steps]]]]:
    """Start a notifier on a home of its own, with some archives, the last ones newer."""
    started: list[tuple[NotifierProcess, Catalog]] = []

    def start(count: int, **settings: str) -> tuple[NotifierProcess, list[Steps]]:
        home = tmp_path / f"home-{len(started)}"
        catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
        made = []
        for number in range(count):
            archive = pack(content_key=f"{number:064x}")
            steps = Steps(catalog, Store(home / "store"), {"n": number}, archive=archive).ready()
            unused_for(catalog, steps.content_key, (count - number) * DAY_SECS)
            made.append(steps)
        started.append((NotifierProcess(home, **settings).start(), catalog))
        return started[-1][0], made

    yield start
    for notifier, catalog in started:
        assert notifier.stop() == 0, notifier.log()
        assert "not foreseen" not in notifier.log()
        catalog.close()


def test_gc_brings_the_store_under_its_budget(
    alone: Callable[..., tuple[NotifierProcess, list[Steps]]],
) -> None:
    size = len(pack(content_key=f"{0:064x}").body)
    notifier, made = alone(5, DATAMILL_STORE_BUDGET_BYTES=str(2 * size))
    with made[0].catalog.write() as change:
        lifecycle.pin(change, made[0].content_key)
    unused_for(made[0].catalog, made[4].content_key, -DAY_SECS)  # told ready right now
    planned = notifier.admin("/admin/gc?dry_run=1", "POST").document
    assert all(path(each).exists() for each in made)
    done = notifier.admin("/admin/gc", "POST").document
    for document, dry_run in ((planned, True), (done, False)):
        assert document["dry_run"] is dry_run
        assert (document["budget_bytes"], document["held_bytes"]) == (2 * size, 5 * size)
        assert (document["left_bytes"], document["over_bytes"]) == (2 * size, 0)
        assert [each["dataset_ids"] for each in document["gone"]] == [
            [each.dataset_id] for each in made[1:4]
        ]
        assert {each["archive"]: each["why"] for each in document["stay"]} == {
            made[0].archive.name: "pinned",
            made[4].archive.name: "recent",
        }
    first = planned["gone"][0]
    assert first["bytes"] == size
    assert 3 * DAY_SECS < first["idle_secs"] < 5 * DAY_SECS
    assert first["score"] == pytest.approx(first["idle_secs"] * size, rel=1e-3)
    assert [path(each).exists() for each in made] == [True, False, False, False, True]
    again = notifier.admin("/admin/gc?budget=0", "POST").document
    assert (again["gone"], again["over_bytes"]) == ([], 2 * size)


def test_gc_without_a_budget_evicts_nothing_and_deletes_what_nobody_needs(
    alone: Callable[..., tuple[NotifierProcess, list[Steps]]],
) -> None:
    notifier, (evicted, broken, whole) = alone(3)
    store = whole.store
    lost = path(evicted).read_bytes()
    evicted.evicted()
    path(evicted).write_bytes(lost)  # as if it was killed before it could delete it
    broken.store.quarantine_archive(broken.archive.name)
    unknown = store.archive_path(f"toy_1.0.0_{'f' * 64}.zip")
    unknown.write_bytes(b"of another catalog")
    shard = store.shard_path(whole.content_key, "00000-9.tfrecord")
    shard.parent.mkdir()
    shard.write_bytes(b"packed long ago")
    abandoned = store.root / "scratch" / "abandoned"
    abandoned.mkdir()
    for name in (".lock", "half"):
        (abandoned / name).write_bytes(b"1234567")
    planned = notifier.admin("/admin/gc?dry_run=1", "POST").document
    assert abandoned.exists() and shard.exists() and path(evicted).exists()
    done = notifier.admin("/admin/gc", "POST").document
    for document in (planned, done):
        assert (document["budget_bytes"], document["gone"]) == (None, [])
        strays = {each["path"]: each["bytes"] for each in document["strays"]}
        assert strays == {
            f"archives/{evicted.archive.name}": len(lost),
            f"shards/{whole.content_key}/{shard.name}": 15,
            "scratch/abandoned/.lock": 7,
            "scratch/abandoned/half": 7,
        }
        assert [each["path"] for each in document["quarantined"]] == [
            f"quarantine/{broken.archive.name}"
        ]
    assert not (abandoned.exists() or shard.exists() or path(evicted).exists())
    assert path(whole).exists() and unknown.exists(), "what nobody knows is not ours to delete"
    for query in ("budget=-1", "budget=1e9", "dry_run=2"):
        assert notifier.admin(f"/admin/gc?{query}", "POST").status == 400


# --- notifiers that are gone ----------------------------------------------------------------------


def test_a_killed_notifier_keeps_no_archive_for_ever(tmp_path: Path) -> None:
    home = tmp_path / "home"
    body = os.urandom(BIG_BYTES)
    with_big = pack({"train": [[example(number=1, text=body)]]})
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    made = Steps(catalog, Store(home / "store"), archive=with_big).ready()
    place = f"/datasets/{made.archive.name}"
    killed, living = NotifierProcess(home), NotifierProcess(home, DATAMILL_LISTEN="127.0.0.1:0")
    killed.start()
    with SlowDownload(killed, place):
        (lost,) = eventually(lambda: _open_downloads(catalog, made))
        killed.kill()
    living.start()
    assert not _open_downloads(catalog, made), "the next one of this home has ended it"
    with SlowDownload(living, place) as download:
        (row,) = eventually(lambda: _open_downloads(catalog, made))
        assert row.server not in (None, lost.server)
        third = NotifierProcess(home)
        third.start()
        assert _open_downloads(catalog, made), "what another one is sending stays"
        assert third.stop() == 0
        download.finish()
    eventually(lambda: not _open_downloads(catalog, made))
    assert living.stop() == 0
    catalog.close()
