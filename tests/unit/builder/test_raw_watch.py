"""Raw data that was written over in place is noticed, if not at a glance then soon."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from datamill.request import Request
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import datasets
from datamill_builder.raw import raw_version, unchanged, unchanged_in_full
from datamill_builder.raw_watch import RawWatch


def written_over(file: Path) -> None:
    """Write other bytes of the same length, as an editor would that keeps the file."""
    before = file.stat().st_mtime_ns
    file.write_bytes(b"x" * file.stat().st_size)
    os.utime(file, ns=(before + 1, before + 1))


def raw_data(folder: Path, files: int) -> Path:
    folder.mkdir()
    for number in range(files):
        (folder / f"{number:04d}.txt").write_text("before")
    return folder


def test_in_a_few_files_a_change_in_place_shows_at_a_glance(
    catalog: Catalog, tmp_path: Path
) -> None:
    folder = raw_data(tmp_path / "raw", 500)
    marks = raw_version(catalog, folder, "auto").marks
    assert unchanged(marks)
    written_over(folder / "0123.txt")
    assert not unchanged(marks)


def test_in_many_files_a_change_in_place_shows_in_full_only(
    catalog: Catalog, tmp_path: Path
) -> None:
    folder = raw_data(tmp_path / "raw", 501)
    marks = raw_version(catalog, folder, "auto").marks
    assert unchanged(marks) and unchanged_in_full(marks)
    written_over(folder / "0123.txt")
    assert unchanged(marks)
    assert not unchanged_in_full(marks)


def test_raw_data_that_is_gone_has_changed(catalog: Catalog, tmp_path: Path) -> None:
    folder = raw_data(tmp_path / "raw", 1)
    marks = raw_version(catalog, folder, "auto").marks
    folder.rename(tmp_path / "elsewhere")
    assert not unchanged(marks)
    assert not unchanged_in_full(marks)


def test_the_watch_forgets_marks_that_do_not_hold(catalog: Catalog, tmp_path: Path) -> None:
    folder = raw_data(tmp_path / "raw", 501)
    marks = raw_version(catalog, folder, "auto").marks
    request = Request.of("toy", "1.0.0", {})
    with catalog.write() as change:
        lifecycle.accept_new(change, request)
        change.connection.execute(datasets.update().values(raw_marks=marks))

    def kept() -> str | None:
        with catalog.read() as connection:
            return connection.scalar(select(datasets.c.raw_marks))

    watch = RawWatch(catalog, every_secs=0.0)
    watch._look(marks)
    assert kept() == marks, "nothing has changed yet"
    written_over(folder / "0400.txt")
    watch.start()
    watch.look_at(marks)
    until(lambda: kept() is None)
    watch.stop()
    watch.join(5)


def test_the_same_raw_data_is_not_looked_at_again_and_again(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = RawWatch(catalog, every_secs=60.0)
    watch.look_at("marks")
    assert watch._due() == ["marks"]
    watch.look_at("marks")
    assert watch._due() == []


def until(condition: Callable[[], bool], timeout_secs: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_secs
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
