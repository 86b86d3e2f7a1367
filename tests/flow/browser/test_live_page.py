"""The live page in a real browser: what a person sees while datasets are built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.flow.browser.conftest import WIDTHS, Watched
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient
from tests.support.notifier import NotifierProcess
from tests.support.toy import write_items

NOT_THERE = re.compile(r"Failed to load resource|ERR_CONNECTION_REFUSED|net::ERR_")
"""What a browser says by itself of a server that is away."""


@pytest.fixture
def notifier(home: Path, broker_url: str) -> Iterator[NotifierProcess]:
    process = NotifierProcess(home, broker_url).start()
    yield process
    assert process.stop() == 0, process.log()
    assert "Traceback" not in process.log()


def row(page: Page, section: str, dataset_id: str) -> Locator:
    """The entry of a dataset in a section."""
    entries = page.locator(f"#{section} tr, #{section} article")
    return entries.filter(has=page.locator(f'a[href="page/{dataset_id}"]'))


def is_shown(locator: Locator, text: str | re.Pattern[str] = "") -> None:
    expect(locator).to_contain_text(text)


def test_a_build_from_its_queue_to_its_archive(
    home: Path,
    notifier: NotifierProcess,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
    watched: Watched,
) -> None:
    page, hold, gate = watched.page, home / "hold", home / "gate"
    items = [f"item {number}" for number in range(6)]
    write_items(home / "raw", [*items, f"hold {hold}", f"gate {gate}"])
    start_builder(home)
    page.goto(notifier.url)
    is_shown(page.locator("#connection"), "live")
    is_shown(page.locator("#finished"), "Nobody has asked for a dataset yet")

    trainer = client()
    asked = trainer.ask("toy", config={"prefix": "<b>bold</b>"})
    queued = row(page, "queued", asked)
    is_shown(queued, "its source items are listed")
    is_shown(queued, "1 waits")
    is_shown(queued, "<b>bold</b>")  # as text
    expect(page.locator("main b", has_text=re.compile("^bold$"))).to_have_count(0)

    hold.touch()
    building = row(page, "building", asked)
    is_shown(building, re.compile(r"shards\s*1 of 2"))
    # Four of the shard that is done, and those of the other before its gate.
    is_shown(building, re.compile(r"records\s*[4-7] of 8"))
    is_shown(building, re.compile(r"shard [01]"))
    expect(queued).to_have_count(0)
    is_shown(page.locator("#summary"), re.compile(r"1\s*building"))

    assert watched.errors == []
    assert notifier.stop() == 0
    is_shown(page.locator("#connection"), "can't reach the server")
    is_shown(building, re.compile(r"shards\s*1 of 2"))  # what was last known stays
    notifier.start()
    expect(page.locator("#connection")).to_have_text("live")
    is_shown(building, re.compile(r"shards\s*1 of 2"))
    assert [error for error in watched.errors if not NOT_THERE.search(error)] == []
    watched.errors.clear()

    gate.touch()
    ready = trainer.wait(asked, "ready")
    finished = row(page, "finished", asked)
    is_shown(finished)
    cells = finished.locator("td.num").all_text_contents()
    assert cells[0] == "8"
    assert re.fullmatch(r"[\d.]+ k?B", cells[1]), ready["bytes"]
    assert cells[2:4] == ["1", "0"]
    expect(building).to_have_count(0)
    assert watched.errors == []
    assert watched.elsewhere(notifier.url) == []


def test_failures_the_filter_and_two_side_by_side(
    notifier: NotifierProcess,
    home: Path,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
    watched: Watched,
) -> None:
    page = watched.page
    start_builder(home)
    trainer = client()
    plain, twice = (trainer.ask("toy", config={"repeat": n}) for n in (1, 2))
    wrong = trainer.ask("toy", config={"repeat": 99})
    for dataset_id in (plain, twice, wrong):
        trainer.wait(dataset_id, "ready", "failed")
    page.goto(notifier.url)

    failed = row(page, "failed", wrong)
    is_shown(failed, "invalid_config")
    is_shown(failed, "repeat: 99 is not allowed: an integer from 1 to 10")

    box = page.get_by_role("searchbox", name="Filter")
    box.fill("ready repeat: 2")
    expect(row(page, "finished", plain)).to_have_count(0)
    expect(row(page, "finished", twice)).to_have_count(1)
    expect(failed).to_have_count(0)
    # It stays as it is while other things happen, and where the page is loaded anew.
    other = trainer.ask("toy", config={"repeat": 3})
    trainer.wait(other, "ready")
    with page.expect_response(lambda answer: "?q=" in answer.url):
        pass
    expect(box).to_have_value("ready repeat: 2")
    expect(row(page, "finished", other)).to_have_count(0)
    page.reload()
    expect(box).to_have_value("ready repeat: 2")
    expect(row(page, "finished", twice)).to_have_count(1)
    box.fill("nothing like this")
    is_shown(page.locator("#finished"), "Nothing is ready that matches the filter")
    box.fill("")
    expect(row(page, "finished", other)).to_have_count(1)

    for dataset_id in (plain, twice):
        row(page, "finished", dataset_id).get_by_role("checkbox").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#verdict")).to_have_text("They differ in repeat: 1 → 2.")
    differs = page.locator("tr.differs")
    expect(differs).to_have_count(1)
    assert differs.locator("td").all_text_contents() == ["repeat option", "1", "2"]
    assert watched.errors == []
    assert watched.elsewhere(notifier.url) == []


def test_the_page_of_a_dataset(
    notifier: NotifierProcess,
    home: Path,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
    watched: Watched,
) -> None:
    page, gate = watched.page, home / "gate"
    items = [f"item {number}" for number in range(11)]
    write_items(home / "raw", [*items, f"gate {gate}"])
    start_builder(home)
    trainer = client()
    config = {"prefix": "x", "repeat": 1}
    asked = trainer.ask("toy", config=config)
    trainer.wait(asked, "planned")
    page.goto(f"{notifier.url}/page/{asked}")
    is_shown(page.locator("#head"), re.compile(r"shards\s*2 of 3"))
    expect(page.locator("#shards .cell.done[title]")).to_have_count(2)
    expect(page.locator("#shards .cell.in-hand[title]")).to_have_count(1)
    gate.touch()
    is_shown(page.locator("#head .badge"), "ready")
    expect(page.locator("#shards .grid .cell.done")).to_have_count(3)
    is_shown(page.locator("#values"), "number")
    is_shown(page.locator("#use"), "1 request")
    is_shown(page.locator("#provenance"), "toy-handlers")
    sheet = page.locator("img.sheet")
    sheet.scroll_into_view_if_needed()
    expect(sheet).to_be_visible()
    page.wait_for_function("document.querySelector('img.sheet').naturalWidth > 0")

    # What it says of how to get it does get it.
    code = page.locator("#snippet").text_content()
    assert code is not None
    names: dict[str, object] = {}
    before, _, _ = code.partition("folder = ")
    told = compile(before.replace("request_dataset", "dataset_id"), "snippet", "exec")
    exec(told, names)
    assert names["dataset"] == asked
    assert watched.errors == []
    assert watched.elsewhere(notifier.url) == []


def test_it_fits_a_phone(
    notifier: NotifierProcess,
    home: Path,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
    watched: Watched,
) -> None:
    page, gate = watched.page, home / "gate"
    start_builder(home)
    trainer = client()
    long = {"prefix": "a-very-long-prefix-without-any-place-to-break-" * 8}
    made = [trainer.ask("toy", config=config) for config in (long, {"repeat": 1})]
    wrong = trainer.ask("toy", config={"no_such_option_" + "x" * 200: 1})
    for dataset_id in (*made, wrong):
        trainer.wait(dataset_id, "ready", "failed")
    write_items(home / "raw", ["item 1", f"gate {gate}"])
    building = trainer.ask("toy", config={"repeat": 4})
    trainer.wait(building, "planned")
    width, height = WIDTHS["phone"]
    page.set_viewport_size({"width": width, "height": height})
    compare = f"page/compare?id={made[0]}&id={made[1]}"
    for path in ("", *(f"page/{each}" for each in (*made, wrong, building)), compare):
        page.goto(f"{notifier.url}/{path}")
        is_shown(page.locator("#connection"), "live")
        assert watched.overflow() <= 0, path
    gate.touch()
    trainer.wait(building, "ready")
    assert watched.errors == []
