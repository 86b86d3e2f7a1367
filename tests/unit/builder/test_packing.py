"""Packing: equal content is equal bytes, and what rotted is noticed and named."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import zipfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from datamill.archive import Manifest
from datamill_builder import packing
from datamill_builder.archive_file import ChangedShard
from datamill_builder.catalog.lifecycle import ArchiveResult
from datamill_builder.growing_archive import GrowingArchive
from datamill_builder.packing import DamagedShards, TooManyBadItems, check_bad_share
from datamill_builder.recipe import Recipe
from datamill_builder.shard_file import read_shard
from datamill_builder.store import Store
from tests.unit.builder.recipes import recipe
from tests.unit.builder.records import example, write_records

KEY = "c" * 64


@dataclass(frozen=True)
class Shard:
    number: int
    split: str
    file: str | None
    records: int
    bytes: int
    sha256: str
    skipped: str | None = None


@dataclass(frozen=True)
class Build:
    items: int = 100
    features: str | None = None


def make_shards(store: Store, fence: int = 1) -> list[Shard]:
    """Write three shards of two splits, as workers would leave them."""
    shards = []
    for number, split in enumerate(("train", "train", "validation")):
        with store.scratch() as folder:
            payloads = [example(number=[10 * number + n], text=[b"x" * 50]) for n in range(4)]
            path = write_records(folder / "shard", payloads)
            body = path.read_bytes()
            file = store.keep_shard(path, KEY, number, fence)
        digest = hashlib.sha256(body).hexdigest()
        shards.append(Shard(number, split, file, 4, len(body), digest))
    return shards


def pack(
    store: Store, key: str, recipe: Recipe, build: Build, shards: list[Shard]
) -> tuple[ArchiveResult, int]:
    """Pack, and move the archive to its public name as a steward does."""
    with closing(GrowingArchive(store, key, recipe, build, shards)) as growing:
        return finish(store, growing, key, recipe, build, shards)


def finish(
    store: Store,
    growing: GrowingArchive,
    key: str,
    recipe: Recipe,
    build: Build,
    shards: list[Shard],
) -> tuple[ArchiveResult, int]:
    archive, records = packing.pack(store, growing, key, recipe, build, shards)
    store.keep_archive(growing.path, archive.name)
    return archive, records


@pytest.fixture
def shards(store: Store) -> list[Shard]:
    return make_shards(store)


def shard_file(store: Store, shard: Shard) -> Path:
    assert shard.file is not None
    return store.shard_path(KEY, shard.file)


FEATURES = json.dumps(
    {"features": {"pythonClassName": "x"}, "labels": {"number": ["ants", "bees"]}}
)


def test_equal_content_is_equal_bytes(store: Store, shards: list[Shard], tmp_path: Path) -> None:
    first, records = pack(store, KEY, recipe(), Build(features=FEATURES), shards)
    elsewhere = Store(tmp_path / "another" / "store")
    others = make_shards(elsewhere, fence=9)
    second, _ = pack(elsewhere, KEY, recipe(), Build(features=FEATURES), others)
    one, other = store.archive_path(first.name), elsewhere.archive_path(second.name)
    assert one.read_bytes() == other.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(one.read_bytes()).hexdigest()
    assert (first.bytes, records) == (one.stat().st_size, 12)
    assert first.mark == store.archive_mark(first.name)


@pytest.mark.parametrize("known", [1, 2, 3])
def test_an_archive_that_has_grown_has_the_same_bytes(
    store: Store, shards: list[Shard], known: int
) -> None:
    first, _ = pack(store, KEY, recipe(), Build(features=FEATURES), shards)
    expected = store.archive_path(first.name).read_bytes()
    with closing(GrowingArchive(store, KEY, recipe(), Build(features=FEATURES), shards)) as growing:
        for shard in shards[:known]:
            growing.add_known(shard.file or "", read_shard(shard_file(store, shard)))
        assert growing.is_of(shards)
        second, _ = finish(store, growing, KEY, recipe(), Build(features=FEATURES), shards)
    assert second == replace(first, mark=second.mark)
    assert store.archive_path(second.name).read_bytes() == expected


def test_a_shard_that_changed_is_not_taken_for_what_it_was(
    store: Store, shards: list[Shard]
) -> None:
    path = shard_file(store, shards[0])
    known = read_shard(path)
    body = bytearray(path.read_bytes())
    body[40] ^= 1
    path.write_bytes(body)
    growing = GrowingArchive(store, KEY, recipe(), Build(), shards)
    with closing(growing), pytest.raises(ChangedShard):
        growing.add_known(path.name, known)


def test_the_archive_is_named_by_its_content_and_laid_out_in_order(
    store: Store, shards: list[Shard]
) -> None:
    archive, _ = pack(store, KEY, recipe(), Build(features=FEATURES), shards)
    assert archive.name == f"toy_1.0.0_{KEY}.zip"
    with zipfile.ZipFile(store.archive_path(archive.name)) as opened:
        entries = opened.infolist()
        assert opened.testzip() is None
        assert opened.read("number.labels.txt") == b"ants\nbees\n"
    assert [entry.filename for entry in entries] == [
        "dataset_info.json",
        "features.json",
        "manifest.json",
        "preview.jpg",
        "number.labels.txt",
        "toy-train.tfrecord-00000-of-00002",
        "toy-train.tfrecord-00001-of-00002",
        "toy-validation.tfrecord-00000-of-00001",
    ]
    for entry in entries:
        assert entry.compress_type == zipfile.ZIP_STORED
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert (entry.create_system, entry.external_attr >> 16) == (3, 0o644)


def test_offsets_point_at_the_bytes_of_the_shards(store: Store, shards: list[Shard]) -> None:
    archive, _ = pack(store, KEY, recipe(), Build(), shards)
    body = store.archive_path(archive.name).read_bytes()
    assert len(archive.offsets) == 3
    for shard, offset in zip(shards, archive.offsets, strict=True):
        assert body[offset : offset + shard.bytes] == shard_file(store, shard).read_bytes()


def test_the_manifest_says_all_and_names_no_machine(store: Store, shards: list[Shard]) -> None:
    bad = json.dumps([{"key": "broken.jpg", "reason": "it is cut short"}])
    shards[1] = replace(shards[1], skipped=bad)
    archive, _ = pack(store, KEY, recipe(seed=1), Build(), shards)
    with zipfile.ZipFile(store.archive_path(archive.name)) as opened:
        body = opened.read("manifest.json")
        everything = b"".join(opened.read(n) for n in opened.namelist() if n.endswith(".json"))
    manifest = Manifest.decode(body)
    assert (manifest.content_key, manifest.config, manifest.records) == (KEY, {"seed": 1}, 12)
    assert [(item.key, item.reason) for item in manifest.skipped] == [
        ("broken.jpg", "it is cut short")
    ]
    told = [(shard.index, shard.split, shard.sha256, shard.bytes) for shard in manifest.shards]
    assert told == [(s.number, s.split, s.sha256, s.bytes) for s in shards]
    provenance = manifest.provenance
    assert provenance.packages == {"numpy": "2.4.6", "pillow": "13.0.0"}
    assert (provenance.python, provenance.raw_version) == ("cpython-311 linux x86_64", "e" * 64)
    for secret in (b"/secret", b"on a host", str(store.root).encode()):
        assert secret not in everything


def flip_first(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[20] ^= 1
    path.write_bytes(body)


def flip_last(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def delete(path: Path) -> None:
    path.unlink()


def unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to("/proc/self/mem")  # reading it is an error, whoever tries


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    "damage", [flip_first, flip_last, truncate, empty, lengthen, delete, unreadable]
)
def test_damage_is_found_and_named(
    store: Store, shards: list[Shard], damage: object, number: int
) -> None:
    damage(shard_file(store, shards[number]))  # type: ignore[operator]
    with pytest.raises(DamagedShards) as found:
        pack(store, KEY, recipe(), Build(), shards)
    assert found.value.indexes == [number]
    assert list((store.root / "archives").iterdir()) == [], "nothing half is published"
    assert list((store.root / "scratch").iterdir()) == []


def test_all_damage_is_found_at_once(store: Store, shards: list[Shard]) -> None:
    flip_last(shard_file(store, shards[0]))
    flip_last(shard_file(store, shards[2]))
    with pytest.raises(DamagedShards, match="0, 2") as found:
        pack(store, KEY, recipe(), Build(), shards)
    assert found.value.indexes == [0, 2]


def test_a_shard_that_was_never_made_is_missing(store: Store, shards: list[Shard]) -> None:
    shards[1] = replace(shards[1], file=None)
    with pytest.raises(DamagedShards) as found:
        pack(store, KEY, recipe(), Build(), shards)
    assert found.value.indexes == [1]


def test_an_archive_that_is_there_is_replaced_whole(store: Store, shards: list[Shard]) -> None:
    name = f"toy_1.0.0_{KEY}.zip"
    store.archive_path(name).write_bytes(b"rotten")
    with store.archive_path(name).open("rb") as reader:
        pack(store, KEY, recipe(), Build(), shards)
        assert reader.read() == b"rotten", "never written in place"
    assert zipfile.is_zipfile(store.archive_path(name))


def skipped(number: int) -> str:
    return json.dumps([{"key": f"bad-{n}.jpg", "reason": "broken"} for n in range(number)])


@pytest.mark.parametrize(
    ("bad", "items", "config", "allowed"),
    [
        (0, 100, {}, True),
        (1, 100, {}, True),
        (2, 100, {}, False),
        (10, 100, {"max_bad_share": 0.1}, True),
        (11, 100, {"max_bad_share": 0.1}, False),
        (1, 100, {"max_bad_share": 0}, False),
        (100, 100, {"max_bad_share": 1}, True),
        (1, 0, {"max_bad_share": 0}, True),  # a classic handler counts no items
    ],
)
def test_the_share_of_bad_items_is_held(
    shards: list[Shard], bad: int, items: int, config: dict[str, float], allowed: bool
) -> None:
    shards[0] = replace(shards[0], skipped=skipped(bad // 2))
    shards[2] = replace(shards[2], skipped=skipped(bad - bad // 2))
    if allowed:
        check_bad_share(recipe(**config), items, shards)
    else:
        with pytest.raises(TooManyBadItems, match=f"^{bad} of {items} source items are bad"):
            check_bad_share(recipe(**config), items, shards)


def test_bad_items_are_named_a_few_of_them(store: Store, shards: list[Shard]) -> None:
    shards[0] = replace(shards[0], skipped=skipped(7))
    with pytest.raises(TooManyBadItems) as error:
        pack(store, KEY, recipe(), Build(items=100), shards)
    assert "bad-0.jpg: broken; bad-1.jpg" in str(error.value)
    assert "bad-5.jpg" not in str(error.value)
    assert str(error.value).endswith("and 2 more")


def test_the_contact_sheet_can_be_looked_at(store: Store, shards: list[Shard]) -> None:
    archive, _ = pack(store, KEY, recipe(), Build(), shards)
    with zipfile.ZipFile(store.archive_path(archive.name)) as opened:
        sheet = Image.open(io.BytesIO(opened.read("preview.jpg")))
    assert sheet.format == "JPEG" and sheet.width > 100


def test_what_does_not_fit_is_said_before_the_disk_is_full(
    store: Store, shards: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(shard.bytes for shard in shards)
    monkeypatch.setattr(packing, "free_bytes", lambda _folder: needed - 1)
    with pytest.raises(OSError, match="does not fit") as refused:
        pack(store, KEY, recipe(), Build(features=FEATURES), shards)
    assert refused.value.errno == errno.ENOSPC
    monkeypatch.setattr(packing, "free_bytes", lambda _folder: needed)
    assert pack(store, KEY, recipe(), Build(features=FEATURES), shards)[1] == 12
