"""The store: what others see is whole; what a dead process left goes, what a live one has stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from datamill_builder.store import Store, file_mark
from tests.unit.builder.forker import Forker, is_alive, kill
from tests.unit.builder.waiting import told, until

KEY = "c" * 64


def temporary(store: Store, name: str = "half", content: bytes = b"whole") -> Path:
    path = store.open_scratch().path / name
    path.write_bytes(content)
    return path


def archive(store: Store, path: Path) -> Path:
    store.keep_archive(path, "toy.zip")
    return store.archive_path("toy.zip")


def shard(store: Store, path: Path) -> Path:
    return store.shard_path(KEY, store.keep_shard(path, KEY, 3, 2))


def plan(store: Store, path: Path) -> Path:
    store.keep_plan(path, KEY, "train")
    return store.plan_path(KEY, "train")


def wheel(store: Store, path: Path) -> Path:
    return store.keep_wheel(path, "d" * 64)


@pytest.mark.parametrize("keep", [archive, shard, plan, wheel])
def test_what_is_kept_was_synced_before_it_was_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch, keep: Callable[[Store, Path], Path]
) -> None:
    path = temporary(store)
    inode = path.stat().st_ino
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        steps.append("content" if os.fstat(descriptor).st_ino == inode else "folder")
        fsync(descriptor)

    def watched_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    kept = keep(store, path)
    assert steps == ["content", "rename", "folder"]
    assert kept.read_bytes() == b"whole"
    assert kept.stat().st_ino == inode and not path.exists(), "moved, not copied"


@pytest.mark.parametrize("keep", [archive, shard, plan, wheel])
def test_keeping_again_replaces_at_once(store: Store, keep: Callable[[Store, Path], Path]) -> None:
    kept = keep(store, temporary(store, content=b"old"))
    with kept.open("rb") as reader:
        keep(store, temporary(store, content=b"newer"))
        assert reader.read() == b"old", "who reads goes on reading what it began with"
    assert kept.read_bytes() == b"newer"


def test_shards_of_two_owners_never_share_a_file(store: Store) -> None:
    one = store.keep_shard(temporary(store, content=b"1"), KEY, 7, fence=1)
    other = store.keep_shard(temporary(store, content=b"2"), KEY, 7, fence=2)
    store.drop_shard(KEY, one)
    assert store.shard_path(KEY, other).read_bytes() == b"2"
    store.drop_shard(KEY, one)  # a second time is no error
    with store.scratch() as folder:
        store.take_shards(KEY, folder)
        store.take_shards(KEY, folder)
    assert not store.shard_path(KEY, other).exists()


def test_a_mark_tells_one_file_from_another(store: Store) -> None:
    first = store.keep_archive(temporary(store, content=b"same"), "toy.zip")
    assert store.archive_mark("toy.zip") == first
    second = store.keep_archive(temporary(store, content=b"same"), "toy.zip")
    assert second != first
    store.archive_path("toy.zip").unlink()
    assert store.archive_mark("toy.zip") is None
    assert file_mark(store.root / "nothing") is None


def test_a_quarantined_archive_is_not_public_any_more(store: Store) -> None:
    store.keep_archive(temporary(store), "toy.zip")
    moved = store.quarantine_archive("toy.zip")
    assert moved is not None and moved.read_bytes() == b"whole"
    assert not store.archive_path("toy.zip").exists()
    assert moved.parent != store.archive_path("toy.zip").parent
    assert store.quarantine_archive("toy.zip") is None


# --- scratch folders ---


def test_a_scratch_folder_goes_away_with_its_content(store: Store) -> None:
    with store.scratch() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    assert not folder.exists()


def test_a_scratch_folder_goes_away_with_an_error_too(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.scratch() as folder:
        raise ZeroDivisionError
    assert not folder.exists()


def test_scratch_lies_on_the_file_system_of_what_is_kept(store: Store) -> None:
    with store.scratch() as folder:
        assert folder.stat().st_dev == store.archive_path("x").parent.stat().st_dev


def test_live_folders_are_not_swept(store: Store) -> None:
    with store.scratch() as folder:
        assert store.sweep() == 0
        assert Store(store.root).sweep() == 0
        assert folder.exists()


def test_folders_of_killed_processes_are_swept(
    store: Store, forker: Forker, tmp_path: Path
) -> None:
    pid = forker.start("hold_scratch", store.root, tmp_path / "told")
    folder = Path(told(tmp_path / "told"))
    with store.scratch() as mine:
        assert store.sweep() == 0
        assert (folder / "half").exists(), "its owner lives"
        kill(pid)
        until(lambda: not is_alive(pid))
        assert store.sweep() == 1
        assert not folder.exists()
        assert mine.exists()


def test_what_is_no_scratch_folder_is_left_alone(store: Store) -> None:
    stray = store.root / "scratch" / ".DS_Store"
    stray.write_text("a file")
    (store.root / "scratch" / "empty").mkdir()
    assert store.sweep() == 0
    assert stray.exists()


def test_sweeping_never_takes_a_folder_that_is_just_made(store: Store) -> None:
    made, stop = [], threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            store.sweep()

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in sweepers:
        thread.start()
    try:
        for _ in range(100):
            made.append(store.open_scratch())
    finally:
        stop.set()
        for thread in sweepers:
            thread.join()
    gone = [folder for folder in made if not (folder.path / ".lock").exists()]
    for folder in made:
        folder.close()
    assert gone == []
    assert list((store.root / "scratch").iterdir()) == []
