"""Taking archives apart: a good one comes out whole, a bad one leaves nothing."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    "name", ["..\\evil", "\\\\host\\share", "a\\b.labels.txt", "\\etc\\passwd"]
)
def test_names_with_backslashes(refused: Callable[..., str], name: str) -> None:
    """Written as they are: zipfile itself would turn them round."""
    stand_in = "s" * (len(name) - 11) + ".labels.txt" if len(name) > 12 else "s" * len(name)
    body = zipped({**entries_of(pack()), stand_in: b"x"})
    assert "layout" in refused(body.replace(stand_in.encode(), name.encode()))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_what_is_no_file(refused: Callable[..., str], kind: int) -> None:
    buffer = io.BytesIO(pack().body)
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("preview.jpg")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, b"x")
    assert "no plain file" in refused(buffer.getvalue())


def test_a_bomb_of_a_thousand_to_one(refused: Callable[..., str]) -> None:
    """64 MiB of zeros in 64 KiB: refused before a byte is unpacked, whatever its directory says."""
    body = zipped({**entries_of(pack()), "preview.jpg": b"\0" * 2**26}, zipfile.ZIP_DEFLATED)
    assert len(body) < 2**26 / 800
    assert "stored" in refused(body)
    lying = bytearray(body)
    for signature, method in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        at = lying.find(signature)
        while at >= 0:
            lying[at + method : at + method + 2] = b"\0\0"
            at = lying.find(signature, at + 4)
    assert refused(bytes(lying))


def test_more_entries_than_anybody_needs(refused: Callable[..., str]) -> None:
    """20,000 entries of a directory for one byte."""
    one = zipped({"a.labels.txt": b"x"})
    start = one.index(b"PK\x01\x02")
    directory = one[start : one.index(b"PK\x05\x06")] * 20_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 20_000, 20_000, len(directory), start, 0)
    assert "more than 10000 entries" in refused(
        one[:start] + directory + end, limits=Limits(entries=10_000)
    )
    assert "twice" in refused(one[:start] + directory + end)


def test_a_name_that_only_the_directory_has(refused: Callable[..., str]) -> None:
    """A reader that goes by the entries' own headers would write somewhere else."""
    body = pack(extra={"a.labels.txt": b"x"}).body
    assert refused(body.replace(b"a.labels.txt", b"../../../abc", 1))


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5000, b"NaN", b'{"shards": [NaN]}', b"\0"]
)
def test_a_manifest_that_attacks(refused: Callable[..., str], body: bytes) -> None:
    assert "manifest.json" in refused(zipped({**entries_of(pack()), "manifest.json": body}))


WHOLE = pack({"train": [[example(number=1, text=b"a")]]}, extra={"a.labels.txt": b"x\n"})


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, len(WHOLE.body) - 1),
            st.integers(0, 8),
            st.binary(max_size=8)
            | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"../", b"PK\x01\x02"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_an_archive_damaged_anywhere(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int, bytes]]
) -> None:
    """Refused, with nothing left; or what was changed is none of the content."""
    body = bytearray(WHOLE.body)
    for at, gone, piece in changes:
        body[at : at + gone] = piece
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "bad.zip").write_bytes(body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, of names that come twice
        try:
            unpack(folder / "bad.zip", folder / "out", content_key=CONTENT_KEY)
        except ArchiveError:
            assert [path.name for path in folder.iterdir()] == ["bad.zip"]
            return
    shard = entries_of(WHOLE)[SHARD]
    assert (folder / "out" / SHARD).read_bytes() == shard
    assert {path.parent for path in folder.rglob("*")} <= {folder, folder / "out"}
