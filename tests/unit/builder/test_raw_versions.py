"""Versions of raw data are noted when they are seen; a second look says what has changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from sqlalchemy import select, update

from datamill.settings import Settings, load_settings
from datamill_builder import raw as raw_module
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.raw_versions import forget_marks_of, versions_of
from datamill_builder.catalog.schema import datasets, raw_versions
from datamill_builder.raw import UnknownDataset, raw_version
from datamill_builder.raw_refresh import Changes, Refreshed, refresh
from tests.unit.builder.life import Life, request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "raw" / "toy"
    (root / "images").mkdir(parents=True)
    (root / "items.txt").write_text("one\n")
    (root / "images" / "a.jpg").write_bytes(b"aaaa")
    return root


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path)


def seen(catalog: Catalog, folder: Path) -> list[tuple[str, int | None, int | None]]:
    with catalog.read() as connection:
        found = versions_of(connection, str(folder))
    return [(each.version, each.files, each.size_bytes) for each in found]


def set_back(catalog: Catalog, secs: float) -> None:
    """Have everything been seen so much earlier."""
    with catalog.write() as change:
        table = raw_versions.c
        change.connection.execute(
            update(raw_versions).values(
                first_seen_at=table.first_seen_at - secs, last_seen_at=table.last_seen_at - secs
            )
        )


def test_each_version_is_noted_once_with_what_it_holds(catalog: Catalog, folder: Path) -> None:
    first = raw_version(catalog, folder, "content").digest
    raw_version(catalog, folder, "content")
    assert seen(catalog, folder) == [(first, 2, 8)]
    set_back(catalog, 1000.0)
    (folder / "more.txt").write_text("!")
    second = raw_version(catalog, folder, "content").digest
    assert seen(catalog, folder) == [(second, 3, 9), (first, 2, 8)]


def test_what_is_seen_again_later_has_been_seen_until_then(catalog: Catalog, folder: Path) -> None:
    raw_version(catalog, folder, "content")
    set_back(catalog, 1000.0)
    raw_version(catalog, folder, "content")
    with catalog.read() as connection:
        (row,) = connection.execute(select(raw_versions)).all()
    assert row.last_seen_at - row.first_seen_at == pytest.approx(1000.0, abs=60.0)
    assert abs(time.time() - row.last_seen_at) < 60.0


def test_what_was_just_seen_is_not_written_again(
    catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_version(catalog, folder, "stat")
    writes: list[object] = []
    monkeypatch.setattr(type(catalog), "write", lambda self: writes.append(self))
    raw_version(catalog, folder, "stat")
    assert writes == []


def refreshed(catalog: Catalog, settings: Settings, folder: Path) -> Refreshed:
    set_back(catalog, 1000.0)  # a second look comes later than the first
    return refresh(settings, catalog, folder)


def test_a_second_look_names_what_was_added_removed_and_changed(
    catalog: Catalog, settings: Settings, folder: Path
) -> None:
    first = refreshed(catalog, settings, folder)
    assert (first.before, first.is_other) == (None, True)
    (folder / "images" / "a.jpg").unlink()
    (folder / "images" / "b.jpg").write_bytes(b"bb")
    (folder / "items.txt").write_text("two\n")
    second = refreshed(catalog, settings, folder)
    assert second.changes == Changes(["images/b.jpg"], ["images/a.jpg"], ["items.txt"])
    assert second.before is not None
    assert second.before.version == first.after.version != second.after.version
    third = refreshed(catalog, settings, folder)
    assert not third.is_other
    assert third.changes == Changes(), "what is gone is not told of again"


def test_raw_data_that_is_as_it_was_once_is_that_version_again(
    catalog: Catalog, settings: Settings, folder: Path
) -> None:
    first = refreshed(catalog, settings, folder)
    (folder / "items.txt").write_text("two\n")
    refreshed(catalog, settings, folder)
    (folder / "items.txt").write_text("one\n")
    third = refreshed(catalog, settings, folder)
    assert third.is_other
    assert third.after.version == first.after.version
    assert len(seen(catalog, folder)) == 2


def test_of_large_raw_data_times_tell_what_is_new(
    catalog: Catalog, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_module, "CONTENT_LIMIT_BYTES", 1)
    for file in (folder / "items.txt", folder / "images" / "a.jpg"):
        os.utime(file, (5, 5))
    refreshed(catalog, settings, folder)
    (folder / "images" / "a.jpg").write_bytes(b"AAAA")
    found = refreshed(catalog, settings, folder)
    assert found.is_other
    assert found.changes == Changes(changed=["images/a.jpg"])


def test_no_folder_is_an_unknown_dataset(
    catalog: Catalog, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(UnknownDataset):
        refresh(settings, catalog, tmp_path / "none")


def test_only_what_is_made_of_the_folder_is_resolved_anew(
    catalog: Catalog, life: Life, folder: Path
) -> None:
    marks = json.dumps({"folder": str(folder), "stat": "x"})
    for number, text in enumerate((marks, json.dumps({"folder": "/other"}), "no JSON")):
        dataset_id = life.accept(request(n=number), f"m{number}")
        with catalog.write() as change:
            its = datasets.c.dataset_id == dataset_id
            change.connection.execute(update(datasets).where(its).values(raw_marks=text))
    with catalog.write() as change:
        assert forget_marks_of(change, str(folder)) == 1
        left = set(change.connection.scalars(select(datasets.c.raw_marks)))
    assert left == {None, json.dumps({"folder": "/other"}), "no JSON"}
