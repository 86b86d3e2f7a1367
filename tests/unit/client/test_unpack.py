"""Taking archives apart: a good one comes out whole, a bad one leaves nothing."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from datamill.archive import Limits, Manifest, read_manifest, unpack
from datamill.errors import ArchiveError
from tests.support.archives import CONTENT_KEY, PackedArchive, example, manifest_of, pack, zipped

SHARD = "toy-train.tfrecord-00000-of-00001"


def entries_of(archive: PackedArchive) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive.body)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """Unpack bytes that must be refused; return the error's text."""

    def attempt(body: bytes, **how: object) -> str:
        path = tmp_path / "bad.zip"
        path.write_bytes(body)
        with pytest.raises(ArchiveError) as caught:
            unpack(path, tmp_path / "out", **how)  # type: ignore[arg-type]
        assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.zip"]
        return str(caught.value)

    return attempt


def test_a_good_archive_comes_out_whole(tmp_path: Path) -> None:
    records = [[example(number=1, text=b"a")], [example(number=2, text=b"b")]]
    archive = pack(
        {"train": records, "validation": [[example(number=3, text=b"c")]]},
        extra={"label.labels.txt": b"ants\nbees\n", "preview.jpg": b"\xff\xd8"},
    )
    manifest = unpack(archive.write(tmp_path), tmp_path / "out", content_key=CONTENT_KEY)
    assert manifest == archive.manifest
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == entries_of(archive)
    assert manifest.splits == ("train", "validation")
    assert [shard.index for shard in manifest.of_split("validation")] == [2]


def test_the_manifest_can_be_read_without_unpacking(tmp_path: Path) -> None:
    archive = pack()
    assert read_manifest(archive.write(tmp_path)) == archive.manifest


def test_the_manifest_has_one_form() -> None:
    manifest = pack().manifest
    assert Manifest.decode(manifest.encode()) == manifest
    assert manifest.encode() == Manifest.decode(manifest.encode()).encode()


@pytest.mark.parametrize(
    "name",
    [
        "../escape.txt",
        "/etc/passwd",
        "C:\\evil",
        "sub/dataset.tfrecord-00000-of-00001",
        "sub/",
        "..",
        "notes.txt",
        "toy-train.tfrecord-0-of-1",
        "toy-train.tfrecord-00000-of-00001.gz",
        "toy-train.tfrecord-00000-of-00001\n",
        "..labels.txt",
        "a/b.labels.txt",
        "ÄÖ.labels.txt",
    ],
)
def test_names_outside_the_layout(refused: Callable[..., str], name: str) -> None:
    assert "layout" in refused(zipped({**entries_of(pack()), name: b"x"}))


def test_a_name_that_zipfile_would_cut_at_a_nul(refused: Callable[..., str]) -> None:
    body = zipped({**entries_of(pack()), "preview.jpgX": b"x"})
    assert "layout" in refused(body.replace(b"preview.jpgX", b"preview.jpg\0"))


def test_a_symlink(refused: Callable[..., str]) -> None:
    buffer = io.BytesIO(pack().body)
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("preview.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "no plain file" in refused(buffer.getvalue())


def test_the_same_name_twice(refused: Callable[..., str]) -> None:
    buffer = io.BytesIO(pack().body)
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("manifest.json", b"{}")
    assert "twice" in refused(buffer.getvalue())


def test_names_that_differ_only_in_case(refused: Callable[..., str]) -> None:
    extra = {"Label.labels.txt": b"a", "label.labels.txt": b"b"}
    assert "case" in refused(pack(extra=extra).body)


def test_compressed_entries(refused: Callable[..., str]) -> None:
    assert "stored" in refused(zipped(entries_of(pack()), zipfile.ZIP_DEFLATED))


def test_an_encrypted_entry(refused: Callable[..., str]) -> None:
    body = bytearray(pack().body)
    first = body.find(b"PK\x01\x02")
    body[first + 8] |= 1
    assert "encrypted" in refused(bytes(body))


@pytest.mark.parametrize("name", ["manifest.json", "dataset_info.json", "features.json"])
def test_missing_metadata(refused: Callable[..., str], name: str) -> None:
    entries = entries_of(pack())
    del entries[name]
    assert name in refused(zipped(entries))


def test_another_content_key(refused: Callable[..., str]) -> None:
    assert "holds content" in refused(pack().body, content_key="cd" * 32)


def test_a_damaged_shard_even_with_a_matching_crc(refused: Callable[..., str]) -> None:
    archive = pack({"train": [[example(number=1, text=b"a")]]})
    entries = entries_of(archive)
    entries[SHARD] = entries[SHARD].replace(b"a", b"b")
    assert f"{SHARD}: its SHA-256" in refused(zipped(entries))


def test_damage_that_only_the_crc_shows(refused: Callable[..., str]) -> None:
    body = pack(extra={"label.labels.txt": b"ants\nbees\n"}).body
    assert "no whole zip" in refused(body.replace(b"ants", b"anks"))


def test_a_shard_of_another_size(refused: Callable[..., str]) -> None:
    archive = pack({"train": [[example(number=1, text=b"a")]]})
    entries = entries_of(archive)
    entries[SHARD] += b"\0"
    assert "size" in refused(zipped(entries))


@pytest.mark.parametrize("change", ["drop", "add"])
def test_shards_other_than_announced(refused: Callable[..., str], change: str) -> None:
    entries = entries_of(pack({"train": [[example(number=1, text=b"a")]]}))
    if change == "drop":
        del entries[SHARD]
    else:
        entries["toy-test.tfrecord-00000-of-00001"] = b""
    assert "not in both" in refused(zipped(entries))


def test_shards_out_of_order(refused: Callable[..., str]) -> None:
    archive = pack()
    entries = entries_of(archive)
    entries["manifest.json"] = manifest_of(list(reversed(archive.manifest.shards))).encode()
    assert "number its shards" in refused(zipped(entries))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"format": 2}', b"\xff"])
def test_a_manifest_that_is_none(refused: Callable[..., str], body: bytes) -> None:
    assert "manifest.json" in refused(zipped({**entries_of(pack()), "manifest.json": body}))


def test_entries_that_share_bytes(refused: Callable[..., str]) -> None:
    """Two directory entries for the same bytes: how zip bombs get by without compression."""
    body = bytearray(pack(extra={"a.labels.txt": b"x", "b.labels.txt": b"x"}).body)
    first = body.rfind(b"a.labels.txt") - 46
    second = body.rfind(b"b.labels.txt") - 46
    assert body[first : first + 4] == body[second : second + 4] == b"PK\x01\x02"
    body[second + 42 : second + 46] = body[first + 42 : first + 46]
    assert "overlaps" in refused(bytes(body))


def test_bytes_before_the_first_entry(refused: Callable[..., str]) -> None:
    assert "overlaps" in refused(b"#!/bin/sh\n" + pack().body)


def test_a_size_that_lies(refused: Callable[..., str]) -> None:
    archive = pack({"train": [[example(number=1, text=b"a")]]})
    body = bytearray(archive.body)
    directory = body.rfind(SHARD.encode()) - 46
    huge = struct.pack("<II", 2**31, 2**31)
    body[directory + 20 : directory + 28] = huge
    assert refused(bytes(body))


@pytest.mark.parametrize("cut", [1, 20, 200, 600])
def test_an_archive_that_was_cut(refused: Callable[..., str], cut: int) -> None:
    assert "no whole zip" in refused(pack().body[:-cut])


def test_limits(refused: Callable[..., str]) -> None:
    body = pack().body
    assert "entries" in refused(body, limits=Limits(entries=3))
    assert "allowed are 10" in refused(body, limits=Limits(metadata_bytes=10))
    assert "more than 100" in refused(body, limits=Limits(total_bytes=100))


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(FileExistsError):
        unpack(pack().write(tmp_path), tmp_path / "out")
    assert (tmp_path / "out" / "mine").exists()
