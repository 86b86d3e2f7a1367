"""Lists for the page, on each database: which dataset is in which, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from datamill.events import Reason
from datamill_builder.catalog import Catalog, lifecycle, schema, sections, views
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.sections import Section
from datamill_builder.catalog.sides import sides_of_name
from datamill_builder.catalog.states import TaskKind
from tests.support.postgresql import PostgresqlServer, postgresql
from tests.unit.builder.life import Life, request

__all__ = ["postgresql"]

KEYS = [f"{n:x}" * 64 for n in range(1, 9)]


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        url = server.add_database()
    opened = Catalog(url)
    yield opened
    opened.close()


@pytest.fixture
def life(catalog: Catalog) -> Life:
    return Life(catalog)


def listed(
    catalog: Catalog, section: Section, words: tuple[str, ...] = (), limit: int = 50
) -> list[str]:
    with catalog.read() as connection:
        views = sections.section_views(connection, section, words, limit)
    return [view.dataset_id for view in views]


def counts(catalog: Catalog, *words: str) -> dict[str, int]:
    with catalog.read() as connection:
        return {str(each): n for each, n in sections.section_counts(connection, words).items()}


def refuse(life: Life, dataset_id: str) -> None:
    claim = life.claim(TaskKind.RESOLVE, dataset_id)
    with life.catalog.write() as change:
        lifecycle.resolve_failed(change, claim, Failure(Reason.INVALID_CONFIG, "no"))


def test_each_dataset_is_in_one_section(catalog: Catalog, life: Life) -> None:
    resolving = life.accept(request(n=1))
    planning = life.accept(request(n=2))
    life.resolve(planning, KEYS[0])
    building = life.building(request(n=3), KEYS[1])
    packing = life.building(request(n=4), KEYS[2])
    for index in range(2):
        life.shard(index, KEYS[2])
    ready = life.ready(request(n=5), KEYS[3])
    refused = life.accept(request(n=6))
    refuse(life, refused)
    broken = life.building(request(n=7), KEYS[4])
    cancelled = life.building(request(n=8), KEYS[5])
    gone = life.ready(request(n=9), KEYS[6])
    with catalog.write() as change:
        lifecycle.build_failed(change, KEYS[4], Failure(Reason.HANDLER_ERROR, "no"))
        lifecycle.cancel(change, cancelled)
        lifecycle.evicted(change, KEYS[6])

    assert listed(catalog, Section.QUEUED) == [resolving, planning]
    assert listed(catalog, Section.RUNNING) == [building, packing]
    assert listed(catalog, Section.FINISHED) == [ready]
    assert set(listed(catalog, Section.FAILED)) == {refused, broken, cancelled}
    assert listed(catalog, Section.EVICTED) == [gone]
    assert counts(catalog) == {
        "queued": 2,
        "running": 2,
        "finished": 1,
        "failed": 3,
        "evicted": 1,
    }


def test_what_was_asked_for_last_comes_first_and_lists_are_cut(
    catalog: Catalog, life: Life
) -> None:
    made = [life.ready(request(n=n), KEYS[n]) for n in range(4)]
    with catalog.write() as change:
        for at, dataset_id in enumerate((made[2], made[0], made[3], made[1])):
            which = schema.datasets.c.dataset_id == dataset_id
            change.connection.execute(
                update(schema.datasets).where(which).values(asked_at=float(at))
            )
    in_order = [made[1], made[3], made[0], made[2]]
    assert listed(catalog, Section.FINISHED) == in_order
    assert listed(catalog, Section.FINISHED, limit=2) == in_order[:2]
    assert counts(catalog)["finished"] == 4


def test_lists_leave_recipes_in_the_catalog(catalog: Catalog, life: Life) -> None:
    """A recipe holds a lock file: a list of a thousand would be tens of megabytes."""
    dataset_id = life.ready(request(n=1), KEYS[0])
    with catalog.read() as connection:
        whole = views.dataset_view(connection, dataset_id)
        (in_section,) = sections.section_views(connection, Section.FINISHED)
        (in_list,) = views.dataset_views(connection)
    assert whole is not None and whole.build is not None and whole.planned() is not None
    for view in (in_section, in_list):
        assert view.build is not None
        assert set(whole.build._fields) - set(view.build._fields) == {"recipe"}
        assert view.ready("http://x") == whole.ready("http://x")


def test_the_filter_looks_at_name_version_state_options_and_id(
    catalog: Catalog, life: Life
) -> None:
    one = life.ready(request("toy", prefix="Straße 100%", n=1), KEYS[0])
    other = life.ready(request("other_toy", prefix="x_y", n=2), KEYS[1])
    finished = Section.FINISHED
    assert set(listed(catalog, finished, ("toy",))) == {one, other}
    assert listed(catalog, finished, ("OTHER",)) == [other]
    assert set(listed(catalog, finished, ("1.0.0", "ready"))) == {one, other}
    assert listed(catalog, finished, ("toy", "100%")) == [one]
    assert listed(catalog, finished, ("straße",)) == [one]
    assert listed(catalog, finished, ("x_y",)) == [other]
    assert listed(catalog, finished, ("x%y",)) == [], "no wild cards"
    assert listed(catalog, finished, ("xzy",)) == []
    assert listed(catalog, finished, (one[:12],)) == [one]
    assert listed(catalog, finished, (one[:5],)) == [], "too short for an id"
    assert listed(catalog, finished, (one[1:12],)) == []
    assert listed(catalog, finished, ("failed",)) == []
    assert counts(catalog, "other")["finished"] == 1


def test_who_waits_as_far_as_they_said(catalog: Catalog, life: Life) -> None:
    dataset_id = life.accept(request())
    names = ["gone", None, "anna", "anna", "ben"]
    with catalog.write() as change:
        rows = [
            {"message_id": f"c{n}", "dataset_id": dataset_id, "accepted_at": 1.0, "client": name}
            for n, name in enumerate(names)
        ]
        change.connection.execute(insert(schema.requests), rows)

    def waiting(number: int) -> list[str]:
        with catalog.write() as change:
            change.connection.execute(update(schema.datasets).values(waiting=number))
        with catalog.read() as connection:
            return views.waiting_clients(connection, life.dataset(dataset_id))

    assert waiting(4) == ["ben", "anna"]
    assert waiting(0) == []


def test_others_of_the_same_name(catalog: Catalog, life: Life) -> None:
    resolved = life.ready(request(n=1), KEYS[0])
    new = life.accept(request(n=2))
    life.accept(request("other"))
    with catalog.read() as connection:
        found = {side.dataset_id: side for side in sides_of_name(connection, "toy", 10)}
        assert set(found) == {resolved, new}
        assert found[new].recipe is None
        assert (found[resolved].recipe or {})["config"] == {"repeat": 1}
        assert len(sides_of_name(connection, "toy", 1)) == 1
