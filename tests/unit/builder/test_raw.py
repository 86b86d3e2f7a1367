"""Raw data: its version changes with it, and only with it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from datamill_builder import raw as raw_module
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import raw_files
from datamill_builder.raw import UnknownDataset, raw_version, unchanged

ODD_NAMES = [b"caf\xe9.jpg", b"two\nlines.jpg", "\N{CAT FACE}.jpg".encode(), b" ", b"back\\slash"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "raw" / "toy"
    (root / "images").mkdir(parents=True)
    (root / "items.txt").write_text("one\n")
    (root / "images" / "a.jpg").write_bytes(b"aaaa")
    (root / "images" / "b.jpg").write_bytes(b"bbbb")
    return root


def by_content(catalog: Catalog, folder: Path) -> str:
    return raw_version(catalog, folder, "content").digest


def by_stat(catalog: Catalog, folder: Path) -> str:
    return raw_version(catalog, folder, "stat").digest


def known_files(catalog: Catalog) -> dict[str, str]:
    with catalog.read() as connection:
        rows = connection.execute(select(raw_files).where(raw_files.c.path != "."))
        return {row.path: row.sha256 for row in rows}


def whole_is_kept(catalog: Catalog) -> bool:
    with catalog.read() as connection:
        query = select(raw_files).where(raw_files.c.path == ".")
        return connection.execute(query).first() is not None


def test_a_folder_that_is_not_there_is_an_unknown_dataset(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(UnknownDataset, match="duts is no folder"):
        raw_version(catalog, tmp_path / "duts", "auto")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnknownDataset):
        raw_version(catalog, tmp_path / "file", "auto")


def test_the_same_content_elsewhere_and_later_is_the_same_version(
    catalog: Catalog, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    os.utime(copy / "items.txt", (1, 1))
    assert by_content(catalog, folder) == by_content(catalog, copy)
    assert by_stat(catalog, folder) != by_stat(catalog, copy)


def added(folder: Path) -> None:
    (folder / "images" / "c.jpg").write_bytes(b"")


def removed(folder: Path) -> None:
    (folder / "images" / "a.jpg").unlink()


def renamed(folder: Path) -> None:
    (folder / "images" / "a.jpg").rename(folder / "images" / "c.jpg")


def swapped(folder: Path) -> None:
    (folder / "images" / "a.jpg").rename(folder / "images" / "c")
    (folder / "images" / "b.jpg").rename(folder / "images" / "a.jpg")
    (folder / "images" / "c").rename(folder / "images" / "b.jpg")


def moved(folder: Path) -> None:
    (folder / "images" / "a.jpg").rename(folder / "a.jpg")


def rewritten(folder: Path) -> None:
    (folder / "images" / "a.jpg").write_bytes(b"AAAA")
    os.utime(folder / "images" / "a.jpg", (5, 5))


def grown(folder: Path) -> None:
    with (folder / "items.txt").open("a") as file:
        file.write("two\n")


@pytest.mark.parametrize("mode", ["content", "stat", "auto"])
@pytest.mark.parametrize("change", [added, removed, renamed, swapped, moved, rewritten, grown])
def test_each_change_is_another_version(
    catalog: Catalog, folder: Path, change: Callable[[Path], None], mode: str
) -> None:
    os.utime(folder / "images" / "b.jpg", (3, 3))
    before = raw_version(catalog, folder, mode).digest  # type: ignore[arg-type]
    change(folder)
    assert raw_version(catalog, folder, mode).digest != before  # type: ignore[arg-type]


def test_the_two_kinds_of_version_never_mix(catalog: Catalog, folder: Path) -> None:
    assert by_content(catalog, folder) != by_stat(catalog, folder)


def test_large_raw_data_is_not_read(
    catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_module, "CONTENT_LIMIT_BYTES", 5)
    assert raw_version(catalog, folder, "auto").digest == by_stat(catalog, folder)
    assert known_files(catalog) == {}


def test_a_digest_is_taken_once(catalog: Catalog, folder: Path) -> None:
    before = by_content(catalog, folder)
    assert set(known_files(catalog)) == {"items.txt", "images/a.jpg", "images/b.jpg"}
    assert whole_is_kept(catalog)
    # Content that changes behind an unchanged mark shows that it was not read again.
    mark = (folder / "items.txt").stat()
    (folder / "items.txt").write_text("ONE\n")
    os.utime(folder / "items.txt", ns=(mark.st_atime_ns, mark.st_mtime_ns))
    assert by_content(catalog, folder) == before


def test_the_digest_of_all_is_kept_as_long_as_all_marks_stay(
    catalog: Catalog, folder: Path
) -> None:
    before = by_content(catalog, folder)
    with catalog.write() as change:
        change.connection.execute(delete(raw_files).where(raw_files.c.path != "."))
    assert by_content(catalog, folder) == before
    assert known_files(catalog) == {}, "no file was asked for"
    (folder / "images" / "a.jpg").write_bytes(b"AAAAA")
    after = by_content(catalog, folder)
    assert after != before
    assert set(known_files(catalog)) == {"items.txt", "images/a.jpg", "images/b.jpg"}
    assert by_content(catalog, folder) == after


def test_a_digest_goes_with_the_mark_of_its_file(catalog: Catalog, folder: Path) -> None:
    before = by_content(catalog, folder)
    mark = (folder / "items.txt").stat()
    (folder / "new").write_text("ONE\n")
    os.utime(folder / "new", ns=(mark.st_atime_ns, mark.st_mtime_ns))
    (folder / "new").replace(folder / "items.txt")  # size and time are the same, the inode is not
    assert by_content(catalog, folder) != before


@pytest.mark.parametrize("change", [added, removed, renamed, moved])
def test_what_comes_goes_or_is_renamed_shows_at_a_glance(
    catalog: Catalog, folder: Path, change: Callable[[Path], None]
) -> None:
    marks = raw_version(catalog, folder, "content").marks
    assert unchanged(marks)
    change(folder)
    assert not unchanged(marks)


def test_a_folder_that_is_gone_shows_at_a_glance(catalog: Catalog, folder: Path) -> None:
    marks = raw_version(catalog, folder, "content").marks
    shutil.rmtree(folder)
    assert not unchanged(marks)


def test_links_are_followed_but_not_in_circles(
    catalog: Catalog, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.jpg").write_bytes(b"far")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "up").symlink_to(folder)
    (elsewhere / "round").symlink_to(folder / "images")
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "nowhere").symlink_to(tmp_path / "nothing")
    before = by_content(catalog, folder)
    assert "linked/far.jpg" in known_files(catalog)
    (elsewhere / "far.jpg").write_bytes(b"FAR!")
    assert by_content(catalog, folder) != before


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_names(catalog: Catalog, folder: Path, name: bytes) -> None:
    before = by_content(catalog, folder)
    path = folder / os.fsdecode(name)
    path.write_bytes(b"x")
    with_it = by_content(catalog, folder)
    assert with_it != before
    assert by_content(catalog, folder) == with_it
    path.write_bytes(b"yy")
    assert by_content(catalog, folder) not in (before, with_it)


def test_names_that_look_alike_in_the_catalog_stay_apart(catalog: Catalog, folder: Path) -> None:
    (folder / os.fsdecode(b"\xe9")).write_bytes(b"1")
    (folder / r"\xe9").write_bytes(b"2")
    first = by_content(catalog, folder)
    assert by_content(catalog, folder) == first, "a cached digest is that of the right file"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that root can't read either")
def test_a_file_that_can_not_be_read_is_looked_at_again(catalog: Catalog, folder: Path) -> None:
    # Reading a process's memory from its address 0 is an error, whoever tries.
    (folder / "broken.jpg").symlink_to("/proc/self/mem")
    by_content(catalog, folder)
    assert "broken.jpg" not in known_files(catalog)
    assert not whole_is_kept(catalog)
    assert "items.txt" in known_files(catalog)


def test_versions_do_not_depend_on_the_order_of_a_listing(catalog: Catalog, tmp_path: Path) -> None:
    names = [f"{n:03d}" for n in range(40)]
    for root, order in (("one", names), ("other", names[::-1])):
        for name in order:
            file = tmp_path / root / name[0] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
    assert by_content(catalog, tmp_path / "one") == by_content(catalog, tmp_path / "other")
