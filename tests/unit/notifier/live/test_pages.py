"""Whole pages, from a real catalog: what they say, and that they only say it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from sqlalchemy import insert, update

from datamill.events import Progress
from datamill_builder.catalog import lifecycle, schema, tasks
from datamill_builder.catalog.sections import Section
from datamill_builder.catalog.states import TaskKind
from datamill_notifier.live import compare, dataset, main_page, rendering
from datamill_notifier.service import Service
from tests.support.catalog_steps import Steps

ATTACK = "<script>alert(1)</script>\"'&"

Make = Callable[..., Steps]


def main(service: Service, text: str = "", limit: int = 50) -> str:
    return rendering.main_page(main_page.look(service, text, limit), text)


def of(service: Service, made: Steps) -> str:
    found = dataset.look(service, made.dataset_id)
    assert found is not None
    return rendering.dataset_page(found)


def words(page: str) -> str:
    """What one reads on it, white space as one space."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


class Strict(HTMLParser):
    """Balanced tags, unique ids, no code or style inside."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[str | None] = []
        self.addresses: list[str] = []
        self.feed(page)
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))
        assert len(self.scripts) == 1 and all(self.scripts), "one script, from a file"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag != "style" and "style" not in given
        assert not any(name.startswith("on") for name in given)
        if tag == "script":
            self.scripts.append(given.get("src"))
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [v for name, v in attrs if name in ("src", "href", "action") and v]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_nothing_asked_for(service: Service) -> None:
    page = main(service)
    Strict(page)
    assert "Nobody has asked for a dataset yet" in page
    assert "No builder has told of itself yet" in page


def test_whatever_somebody_sent_is_shown_as_text(service: Service, steps: Make) -> None:
    one = steps({ATTACK: ATTACK}).accepted().refused(ATTACK)
    other = steps({ATTACK: [ATTACK]}).ready()
    waits = steps({"x": ATTACK}).accepted()
    with service.catalog.write() as change:
        change.connection.execute(update(schema.requests).values(client=ATTACK))
        row = {"name": "b", "host": ATTACK, "workers": 1, "version": ATTACK}
        times = {"started_at": time.time(), "seen_at": time.time()}
        change.connection.execute(insert(schema.builders), row | times)
    pages = [main(service), main(service, ATTACK), *(of(service, m) for m in (one, other, waits))]
    found = compare.look(service, one.dataset_id, other.dataset_id)
    assert found is not None
    pages += [rendering.compare_page(found), rendering.problem_page(ATTACK, ATTACK)]
    for page in pages:
        assert "alert(1)" in page
        assert "<script>" not in page
        Strict(page)


def test_nothing_comes_from_elsewhere(service: Service, steps: Make) -> None:
    made = steps().ready()
    for page in (main(service), of(service, made)):
        for address in Strict(page).addresses:
            assert not re.match(r"[a-z]+:|/", address), "relative: a prefix may be before it"
    policy = rendering.CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy


def test_a_build_under_way(service: Service, steps: Make) -> None:
    made = steps().accepted().resolved().planned().shard_made(0)
    with service.catalog.write() as change:
        claim = tasks.claim(change, TaskKind.SHARD, made.content_key, 1, "f" * 32)
        assert claim is not None
        change.connection.execute(update(schema.requests).values(client="anna@gpu-7"))
        row = {"name": "f" * 32, "host": "mill-1", "workers": 2, "version": "0.1.0"}
        times = {"started_at": time.time(), "seen_at": time.time()}
        change.connection.execute(insert(schema.builders), row | times)
    told = Progress(
        dataset_id=made.dataset_id,
        shards_done=1,
        shards=2,
        records_done=1,
        records_per_sec=12.5,
        secs_left=75.0,
    )
    service.live.progress.note("progress", made.dataset_id, told.encode().decode())
    for page in (main(service), of(service, made)):
        read = words(page)
        assert "50 %" in read
        assert "shards 1 of 2" in read
        assert "records 1 of 2" in read
        assert "records/s 12 " in read
        assert "time left 1 min 15 s" in read
        assert "1 waits: anna@gpu-7" in read
        assert "mill-1 shard 1" in read
    assert 'class="cell in-hand" title="shard 1 of train, in work on mill-1"' in page
    service.live.progress.note("failed", made.dataset_id, "")
    assert "1 min 15 s" not in words(main(service)), "what was told is forgotten"
    with service.catalog.write() as change:
        tasks.try_again(change, claim, "ValueError: once more")
    for page in (main(service), of(service, made)):
        read = words(page)
        assert "time left \N{EN DASH}" in read, "nobody is at it"
        assert "a shard is tried again after: ValueError: once more" in read


def test_the_numbers_of_what_is_ready(service: Service, steps: Make) -> None:
    made = steps().ready()
    with service.catalog.write() as change:
        lifecycle.log_requests(change, ["again", "and-again"], made.dataset_id)
        change.connection.execute(update(schema.builds).values(pinned_at=1.0))
        row = {"content_key": made.content_key, "bytes": 7, "started_at": time.time()}
        change.connection.execute(insert(schema.downloads), row)
    found = main_page.look(service, "", 50)
    (only,) = found.finished
    assert only.there
    assert (only.view.requests, only.usage.downloads) == (3, 1)
    assert only.usage.last_used_at is not None
    assert found.disk.held == len(made.archive.body)
    assert found.disk.share == len(made.archive.body) / 1000
    assert found.totals.saving.saved_secs == pytest.approx(2 * 0.2)
    page = words(main(service))
    assert "pinned" in page
    assert f"{len(made.archive.body) / 1000:.1f} kB of 1.0 kB budget" in page
    assert "3 requests, 1 build;" in page


def test_an_archive_that_is_gone_is_said_to_be(service: Service, steps: Make) -> None:
    made = steps().ready()
    service.store.archive_path(made.archive.name).unlink()
    assert "its archive is gone" in main(service)
    assert "preview.jpg" not in of(service, made)


def test_the_filter_and_how_many_more_there_are(service: Service, steps: Make) -> None:
    for number in range(5):
        steps({"kind": "even" if number % 2 == 0 else "odd"} | {"n": number}).ready()
    found = main_page.look(service, "ready kind: even", 2)
    assert found.counts[Section.FINISHED] == 3
    assert len(found.finished) == 2
    page = rendering.main_page(found, "ready kind: even")
    assert "1 more" in words(page)
    assert 'href="./?q=ready+kind%3A+even&amp;limit=8"' in page
    assert 'value="ready kind: even"' in page
    assert "Nothing is ready that matches the filter" in main(service, "failed")


def test_what_was_refused_and_what_broke(service: Service, steps: Make) -> None:
    steps().accepted().refused("image_size: must be positive")
    broken = steps().accepted().resolved().planned().failed("ValueError: in the handler")
    page = words(main(service))
    assert "invalid_config" in page and "image_size: must be positive" in page
    assert "Asking again will fail again" in page
    assert "handler_error" in page and "Asking again tries again" in page
    assert "ValueError: in the handler" in words(of(service, broken))


def test_a_dataset_that_is_ready(service: Service, steps: Make) -> None:
    made = steps({"quality": 90, "seed": 0}).ready()
    page = of(service, made)
    read = words(page)
    here = f"../datasets/{made.dataset_id}"
    assert f'src="{here}/preview.jpg"' in page
    assert f'href="{here}/manifest.json"' in page
    assert f'href="../datasets/{made.archive.name}"' in page
    assert "datamill.request_dataset" in read
    assert made.content_key in read
    assert made.archive.sha256 in read
    assert "toy-1.0.0-py3-none-any.whl" in read
    assert "train 2 2" in read
    assert "1 request per hour" in read
    assert f'data-events="../events?dataset={made.dataset_id}"' in page


def test_defaults_come_from_others_of_the_same_version(service: Service, steps: Make) -> None:
    made = steps({"quality": 90}).ready()
    steps({"seed": 5}).accepted().resolved()
    found = dataset.look(service, made.dataset_id)
    assert found is not None
    by_name = {option.name: option for option in found.options}
    assert by_name["quality"].changed and not by_name["quality"].default_known
    assert not by_name["seed"].given
    assert "every request so far says it" in of(service, made)


def test_unknown_datasets_have_no_page(service: Service) -> None:
    assert dataset.look(service, "0" * 64) is None
    assert compare.look(service, "0" * 64, "1" * 64) is None


def compared(service: Service, ours: Steps, theirs: Steps) -> tuple[compare.Compared, str]:
    found = compare.look(service, ours.dataset_id, theirs.dataset_id)
    assert found is not None
    return found, words(rendering.compare_page(found))


def test_two_side_by_side(service: Service, steps: Make) -> None:
    ours = steps({"quality": 95, "size": [1, 2], "mirror": True}).ready()
    theirs = steps({"quality": 90, "size": [1, 2], "mirror": 1}).ready()
    found, read = compared(service, ours, theirs)
    assert [each.name for each in found.differences] == ["mirror", "quality"]
    assert [name for name, _ in found.same] == ["seed", "size"]
    assert "They differ in mirror: true → 1; quality: 95 → 90." in read
    assert "quality option 95 90" in read
    assert "quality: 95 → 90" in words(of(service, ours))
    alias = Steps(service.catalog, service.store, {"other": 1}, archive=ours.archive)
    alias.accepted().resolved()
    assert "They are the same data" in compared(service, ours, alias)[1]
    assert "they are the same data" in of(service, ours)


def test_what_is_not_resolved_is_compared_as_it_was_asked_for(
    service: Service, steps: Make
) -> None:
    ours, waits = steps({"quality": 95, "seed": 0}).ready(), steps({"quality": 1}).accepted()
    found, read = compared(service, ours, waits)
    assert found.same == []
    assert "They differ in quality: 95 → 1; seed: 0 → (its default)." in read


def recipe(**fields: Any) -> dict[str, Any]:
    made_from = {
        "dataset_name": "toy",
        "config": {"a": 1},
        "package": "toy-handlers",
        "package_version": "1.0.0",
        "entry_point": "toy_handlers:Toy",
        "wheel_sha256": "d" * 64,
        "lock": "numpy==2.0 \\\n    --hash=sha256:0\npillow==11\n",
        "raw_version": "e" * 64,
    }
    return made_from | fields


def test_raw_data_and_packages_that_differ(service: Service, steps: Make) -> None:
    ours, theirs = steps().accepted(), steps().accepted()
    lock = "numpy==2.1 \\\n    --hash=sha256:1\npillow==11\nnew-one==1\n"
    changed = recipe(raw_version="f" * 64, lock=lock)
    for made, its_recipe in ((ours, recipe()), (theirs, changed)):
        with service.catalog.write() as change:
            claim = tasks.claim(change, TaskKind.RESOLVE, made.dataset_id, 0, "me")
            assert claim is not None
            lifecycle.resolved(change, claim, made.content_key, its_recipe, "marks")
    found, read = compared(service, ours, theirs)
    assert [each.name for each in found.differences] == ["new-one", "numpy", "raw data"]
    assert "raw data: eeeeeeeeeeee → ffffffffffff" in read
    assert "numpy environment 2.0 2.1" in read
