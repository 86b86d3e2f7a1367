from __future__ import annotations

from pathlib import Path

import pytest

from datamill.errors import DatamillError
from datamill_producer.copying import TargetInUse, copy_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.tfrecord").write_bytes(b"\0\1")
    return folder


@pytest.mark.parametrize("there", [False, True])
def test_copies_to_a_new_or_an_empty_folder(source: Path, tmp_path: Path, there: bool) -> None:
    target = tmp_path / "deep" / "target"
    if there:
        target.mkdir(parents=True)
    assert copy_folder(source, target) == target
    assert (target / "a.tfrecord").read_bytes() == b"\0\1"
    assert list(target.parent.iterdir()) == [target]


def test_leaves_alone_what_is_there(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("kept")
    with pytest.raises(TargetInUse, match="no empty folder"):
        copy_folder(source, target)
    with pytest.raises(TargetInUse):
        copy_folder(source, target / "mine")
    assert [file.name for file in target.iterdir()] == ["mine"]


def test_a_place_that_can_not_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatamillError, match="can't be written"):
        copy_folder(source, tmp_path / "file" / "target")
