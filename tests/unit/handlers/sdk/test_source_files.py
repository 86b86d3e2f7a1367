import os
from pathlib import Path

import pytest

from dataset_handlers.sdk.source_files import (
    holds_files,
    is_portable,
    portable,
    visible_files,
    visible_folders,
)

JPEGS = {".jpg", ".jpeg"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.JPG", "c.jpeg", ".hidden.jpg", "._b.jpg", "Thumbs.db", "d.png", "e"):
        (tmp_path / name).touch()
    for name in ("class", ".git", "__MACOSX", "@eaDir", "looks_like.jpg"):
        (tmp_path / name).mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "b.jpg")
    return tmp_path


def test_files_by_suffix_in_any_case_sorted(folder):
    assert list(visible_files(folder, JPEGS)) == ["a.JPG", "b.jpg", "c.jpeg", "link.jpg"]


def test_folders_without_those_of_systems(folder):
    assert list(visible_folders(folder)) == ["class", "looks_like.jpg"]


def test_whether_there_are_any(folder):
    assert holds_files(folder, JPEGS)
    assert not holds_files(folder, {".tif"})
    assert not holds_files(folder / "class", JPEGS)


def test_a_missing_folder_holds_nothing(tmp_path):
    assert list(visible_files(tmp_path / "none", JPEGS)) == []
    assert list(visible_folders(tmp_path / "none")) == []


def test_names_that_are_not_utf8():
    name = os.fsdecode(b"caf\xe9.jpg")
    assert not is_portable(name)
    assert portable(name) == "caf\\xe9.jpg"
    assert is_portable("狐狸 🦊.jpg")
