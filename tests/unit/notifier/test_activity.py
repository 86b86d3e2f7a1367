"""How far a build is, and how fast."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from datamill.events import Progress
from datamill_builder.catalog.views import DatasetView
from datamill_notifier.activity import share_done, speed

NOW = 1e9


def view(
    shards_done: int = 0, shards: int = 4, records_done: int = 0, estimate: int | None = 100
) -> DatasetView:
    build = SimpleNamespace(shards=shards, records_estimate=estimate, started_at=NOW - 10.0)
    fields = {"build": build, "shards_done": shards_done, "records_done": records_done}
    return cast(DatasetView, SimpleNamespace(**fields))


def test_the_share_is_that_of_records_where_their_number_is_known() -> None:
    assert share_done(view(1), 60) == pytest.approx(0.6)
    assert share_done(view(1, estimate=None), 60) == pytest.approx(0.25)
    assert share_done(view(3), 10) == pytest.approx(0.75), "bad source items give no records"
    assert share_done(view(3), 500) == 1.0
    assert share_done(view(shards=0), 0) == 0.0


def test_speed_is_what_the_builder_says() -> None:
    told = Progress(
        dataset_id="0" * 64,
        shards_done=1,
        shards=4,
        records_done=30,
        records_per_sec=7.0,
        secs_left=9.0,
    )
    assert speed(view(records_done=20), told, True, NOW) == (7.0, 9.0)


def test_else_it_is_the_average_of_what_somebody_is_at() -> None:
    assert speed(view(records_done=20), None, True, NOW) == (2.0, 40.0)
    assert speed(view(records_done=20, estimate=None), None, True, NOW) == (2.0, None)
    assert speed(view(records_done=20), None, False, NOW) == (None, None), "it stands still"
    assert speed(view(), None, True, NOW) == (None, None)
