"""The scrubber takes damaged archives away, and leaves everything else alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.states import BuildState
from datamill_builder.scrubber import Scrubber
from datamill_builder.store import Store
from tests.support import rot
from tests.support.archives import pack
from tests.support.catalog_steps import Steps
from tests.unit.builder.waiting import until


@pytest.fixture
def steps(catalog: Catalog, store: Store) -> list[Steps]:
    """Two archives."""
    made = []
    for number in range(2):
        archive = pack(content_key=f"{number:064x}")
        made.append(Steps(catalog, store, {"number": number}, archive=archive).ready())
    return made


@pytest.fixture
def scrub(catalog: Catalog, store: Store) -> Iterator[Scrubber]:
    scrubber = Scrubber(catalog, store, 0.05)
    yield scrubber
    scrubber.stop()
    if scrubber.ident is not None:
        scrubber.join(10)


def state(catalog: Catalog, steps: Steps) -> str:
    with catalog.read() as connection:
        build = lifecycle.find_build(connection, steps.content_key)
    assert build is not None
    return str(build.state)


def path(steps: Steps) -> Path:
    return steps.store.archive_path(steps.archive.name)


def test_rot_that_nothing_shows_is_found(
    catalog: Catalog, steps: list[Steps], scrub: Scrubber, store: Store
) -> None:
    rotten, whole = steps
    rot.flip_bit(path(rotten))
    scrub.start()
    until(lambda: state(catalog, rotten) == BuildState.EVICTED)
    assert not path(rotten).exists()
    assert [kept.name for kept in (store.root / "quarantine").iterdir()] == [rotten.archive.name]
    assert state(catalog, whole) == BuildState.READY
    assert path(whole).read_bytes() == whole.archive.body


def test_what_was_touched_or_is_gone_is_noticed_before_anybody_asks(
    catalog: Catalog, steps: list[Steps], scrub: Scrubber
) -> None:
    touched, gone = steps
    rot.flip_bit_seen(path(touched))
    path(gone).unlink()
    scrub.start()
    until(lambda: state(catalog, touched) == state(catalog, gone) == BuildState.EVICTED)
    assert not path(touched).exists()


def test_what_was_touched_and_is_whole_is_known_again(
    catalog: Catalog, store: Store, steps: list[Steps]
) -> None:
    copied = steps[0]
    body = path(copied).read_bytes()
    path(copied).unlink()
    path(copied).write_bytes(body)
    Scrubber(catalog, store, 3600.0)._round()
    with catalog.read() as connection:
        build = lifecycle.find_build(connection, copied.content_key)
    assert build is not None and build.state == BuildState.READY
    assert build.archive_mark == store.archive_mark(copied.archive.name)


def test_a_disk_that_is_gone_takes_nothing_with_it(
    catalog: Catalog, store: Store, steps: list[Steps]
) -> None:
    aside = store.root.rename(store.root.with_name("unmounted"))
    store.root.mkdir()
    Scrubber(catalog, store, 3600.0)._round()
    assert {state(catalog, made) for made in steps} == {BuildState.READY}
    store.root.rmdir()
    aside.rename(store.root)


def test_those_who_share_a_store_read_each_archive_once(
    catalog: Catalog, store: Store, steps: list[Steps], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    together = threading.Barrier(2)

    def digest(_scrubber: Scrubber, path: Path) -> None:
        read.append(path.name)
        together.wait(20)  # both read now: not the same

    monkeypatch.setattr(Scrubber, "_digest", digest)
    both = [threading.Thread(target=Scrubber(catalog, store, 3600.0)._round) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(30)
    assert sorted(read) == sorted(made.archive.name for made in steps)


def test_zero_means_never(catalog: Catalog, store: Store, steps: list[Steps]) -> None:
    never = Scrubber(catalog, store, 0.0)
    rot.flip_bit(path(steps[0]))
    never.start()
    never.join(0.3)
    assert never.is_alive() and path(steps[0]).exists()
    never.stop()
    never.join(10)
    assert not never.is_alive()


def test_an_archive_that_cannot_be_opened_just_now_is_not_taken_for_damaged(
    catalog: Catalog,
    steps: list[Steps],
    scrub: Scrubber,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when no descriptor is left; a folder in its place is what even root can't read."""
    whole = steps[0]
    body = path(whole).read_bytes()
    mark = whole.store.archive_mark(whole.archive.name)
    path(whole).unlink()
    path(whole).mkdir()
    monkeypatch.setattr(Store, "archive_mark", lambda _store, _name: mark)
    scrub.start()
    until(lambda: "can't be read" in caplog.text)
    assert state(catalog, whole) == BuildState.READY
    path(whole).rmdir()
    path(whole).write_bytes(body)


def test_who_is_restarted_goes_on_where_the_last_one_was(
    catalog: Catalog, store: Store, steps: list[Steps]
) -> None:
    """Else a builder that is restarted often would never come to the end of a large store."""
    first, second = steps

    def looked_at(made: Steps) -> float | None:
        with catalog.read() as connection:
            build = lifecycle.find_build(connection, made.content_key)
        assert build is not None
        return None if build.scrubbed_at is None else float(build.scrubbed_at)

    with catalog.write() as change:
        build = lifecycle.find_build(change.connection, first.content_key)
        assert build is not None
        lifecycle.scrubbed(change, build, time.time() - 60)
    before = looked_at(first)
    rot.flip_bit(path(first))  # found in the next round, not in this one
    rot.flip_bit(path(second))
    scrubber = Scrubber(catalog, store, 3600.0)
    scrubber._round()
    assert not path(second).exists()
    assert path(first).exists() and looked_at(first) == before
    Scrubber(catalog, store, 30.0)._round()
    assert not path(first).exists()


def test_a_clock_that_was_set_back_keeps_nothing_from_being_looked_at(
    catalog: Catalog, store: Store, steps: list[Steps]
) -> None:
    with catalog.write() as change:
        for made in steps:
            build = lifecycle.find_build(change.connection, made.content_key)
            assert build is not None
            lifecycle.scrubbed(change, build, time.time() + 1e6)
    rot.flip_bit(path(steps[0]))
    Scrubber(catalog, store, 3600.0)._round()
    assert not path(steps[0]).exists()
