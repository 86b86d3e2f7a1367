"""What goes first, and what never goes, whatever lies in the store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamill_builder.catalog.holdings import (
    KEPT_SECS,
    Holding,
    Kind,
    Stays,
    choose,
    protection,
    score,
)

DAY_SECS = 86_400.0


def holding(
    key: str = "a",
    size: int = 1000,
    idle_secs: float = DAY_SECS,
    build_secs: float = 60.0,
    pinned: bool = False,
    downloads: int = 0,
    wanted: bool = False,
) -> Holding:
    state = (idle_secs, build_secs, pinned, downloads, wanted)
    return Holding(Kind.ARCHIVE, key, "toy", f"{key}.zip", size, *state)


stores = st.lists(
    st.builds(
        holding,
        key=st.text("abcdef0123456789", min_size=8, max_size=8),
        size=st.integers(1, 10**13),
        idle_secs=st.one_of(st.floats(0, 2 * KEPT_SECS), st.floats(0, 1e10)),
        build_secs=st.floats(0, 1e7),
        pinned=st.sampled_from([False, False, True]),
        downloads=st.sampled_from([0, 0, 1, 7]),
        wanted=st.sampled_from([False, False, True]),
    ),
    max_size=30,
    unique_by=lambda each: each.content_key,
)
budgets = st.one_of(st.just(0), st.integers(0, 10**14))


@given(stores, budgets)
def test_nothing_that_is_protected_goes(found: list[Holding], budget: int) -> None:
    chosen = choose(found, sum(each.bytes for each in found), budget)
    for each in chosen.go:
        assert not each.is_pinned
        assert not each.downloads
        assert not each.is_wanted
        assert each.idle_secs >= KEPT_SECS
    for each, why in chosen.stay:
        assert why is (protection(each) or Stays.FITS)


@given(stores, budgets, st.integers(0, 10**13))
def test_it_stops_as_soon_as_the_rest_fits(
    found: list[Holding], budget: int, being_built: int
) -> None:
    held = sum(each.bytes for each in found) + being_built
    chosen = choose(found, held, budget)
    assert chosen.left_bytes == held - sum(each.bytes for each in chosen.go)
    if chosen.go:
        assert chosen.left_bytes + chosen.go[-1].bytes > budget, "the last one had to go"
    may_go = [each for each, why in chosen.stay if why is Stays.FITS]
    assert chosen.left_bytes <= budget or not may_go, "over the budget only with what has to stay"


@given(stores, budgets)
def test_what_goes_goes_by_its_score(found: list[Holding], budget: int) -> None:
    chosen = choose(found, sum(each.bytes for each in found), budget)
    scores = [score(each) for each in chosen.go]
    assert scores == sorted(scores, reverse=True)
    spared = [score(each) for each, why in chosen.stay if why is Stays.FITS]
    assert not scores or not spared or scores[-1] >= max(spared)


@given(stores, budgets)
def test_each_is_there_once_and_the_order_of_the_list_is_nothing(
    found: list[Holding], budget: int
) -> None:
    held = sum(each.bytes for each in found)
    chosen = choose(found, held, budget)
    both = [*chosen.go, *(each for each, _ in chosen.stay)]
    assert sorted(both, key=lambda each: each.content_key) == sorted(
        found, key=lambda each: each.content_key
    )
    assert choose(found[::-1], held, budget) == chosen


@given(stores)
def test_without_a_budget_all_stay(found: list[Holding]) -> None:
    assert choose(found, 10**15, None).go == []


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        pytest.param({"size": 2000}, {"size": 1000}, id="large"),
        pytest.param({"idle_secs": 3 * DAY_SECS}, {"idle_secs": DAY_SECS}, id="unused"),
        pytest.param({"build_secs": 10.0}, {"build_secs": 3600.0}, id="quickly built"),
        pytest.param(
            {"build_secs": 12 * 3600.0, "idle_secs": 1000 * DAY_SECS},
            {"build_secs": 60.0, "idle_secs": DAY_SECS},
            id="costly, but not for ever",
        ),
    ],
)
def test_what_can_be_spared_better(worse: dict[str, float], better: dict[str, float]) -> None:
    found = [holding("better", **better), holding("worse", **worse)]  # type: ignore[arg-type]
    assert choose(found, 10_000, 9_999).go[0].content_key == "worse"


def test_the_score_is_what_the_module_says() -> None:
    assert score(holding(size=500, idle_secs=7200.0, build_secs=60.0)) == 60_000.0
    assert score(holding(size=500, idle_secs=7200.0, build_secs=0.0)) == 3_600_000.0
