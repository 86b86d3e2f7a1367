"""What `datamill top` draws of the notifier's overview."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from datamill_producer.screen import screen

ID = "5a57948d1f0c" + "0" * 52


def dataset(**more: Any) -> dict[str, Any]:
    known = {
        "dataset_id": ID,
        "dataset_name": "duts",
        "handler_version": "1.0.0",
        "shards": 40,
        "shards_done": 10,
        "records": None,
        "bytes": None,
        "waiting": 3,
        "requests": 7,
        "ended_at": None,
    }
    return known | more


def overview(**more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "time": "2026-01-31T12:00:00.000Z",
        "broker_connected": True,
        "trouble": None,
        "building": [],
        "queued": [],
        "ready": [],
        "failed": [],
        "builders": [],
        "datasets_ready": 12,
        "downloads_in_progress": 2,
        "store": {"bytes": 25_000_000_000, "budget_bytes": 100_000_000_000, "free_bytes": 10**12},
    }
    return known | more


def drawn(document: dict[str, Any], width: int = 140, trouble: str | None = None) -> str:
    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None, highlight=False)
    console.print(screen(document, width, 60, trouble))
    return text.getvalue()


BUILDING = dataset(
    records_per_sec=1234.5, secs_left=4000.0, shards_in_hand=2, why=None, records_estimate=10
)


def test_a_build_has_a_bar_its_speed_and_the_time_left() -> None:
    text = drawn(overview(building=[BUILDING]))
    assert "duts 1.0.0" in text
    assert "#####..............." in text
    for said in ("10/40", "1,234", "1 h 06 min", "2 shards in hand", "5a57948d1f0c", "1 building"):
        assert said in text


def test_what_waits_says_why() -> None:
    text = drawn(overview(queued=[dataset(why="no builder is known to run")]))
    assert "no builder is known to run" in text
    assert "1 queued" in text


def test_what_came_of_it() -> None:
    ready = dataset(records=1000, bytes=5_000_000, downloads=4, ended_at="2026-01-31T11:00:00Z")
    failed = dataset(reason="bad_data", message="no\nimages", ended_at=None)
    text = drawn(overview(ready=[ready], failed=[failed]))
    assert "5.0 MB" in text
    assert "bad_data: no images" in text


def test_the_store_stands_beside_its_budget() -> None:
    assert "store 25.0 GB of 100.0 GB (25 %)" in drawn(overview())
    no_budget = {"bytes": 25_000_000_000, "budget_bytes": None, "free_bytes": 10**12}
    assert "store 25.0 GB, 1.0 TB free" in drawn(overview(store=no_budget))


def test_builders_and_those_that_are_silent() -> None:
    known = {"workers": 8, "version": "0.1.0", "seen_at": "2026-01-31T11:00:00Z"}
    builders = [{**known, "host": "one", "alive": True}, {**known, "host": "two", "alive": False}]
    text = drawn(overview(builders=builders))
    assert "8 workers" in text.splitlines()[0]
    (silent,) = [line for line in text.splitlines() if line.startswith("two")]
    assert "silent since" in silent


def test_trouble_is_said() -> None:
    text = drawn(
        overview(broker_connected=False, trouble="the disk is full"), trouble="the notifier is gone"
    )
    assert "the notifier is gone; what is shown is old" in text
    assert "the broker is away" in text
    assert "the disk is full" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_it_fits_into_narrow_terminals(width: int) -> None:
    queued = dataset(why="all workers are busy with other builds; 3 builds began before it")
    failed = dataset(reason="bad_data", message="x" * 300)
    text = drawn(overview(building=[BUILDING], queued=[queued], failed=[failed]), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("duts") for line in lines) == 3, text


def test_long_lists_are_cut_and_say_so() -> None:
    text = drawn(overview(queued=[dataset(why="")] * 200))
    assert "queued, 11 of 200" in text


def test_markup_in_what_others_wrote_is_text() -> None:
    failed = dataset(reason="handler_error", message="[bold]list[0][/bold] [/nothing]")
    assert "[bold]list[0][/bold] [/nothing]" in drawn(overview(failed=[failed]))
