"""The order of a reader: a shuffle that can be gone on with at any place, in any process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamill.order import epoch_order, random_seed, shuffled


class Numbers:
    """Stands in for a split's records, which come with waits for the build in between."""

    def __init__(self, count: int, waits: frozenset[int] = frozenset()) -> None:
        self.count = count
        self.waits = waits

    def numbers(self, begin: int = 0) -> Iterator[int | None]:
        for number in range(begin, self.count):
            if number in self.waits:
                yield None
            yield number


def order(
    count: int,
    size: int,
    seed: int = 1,
    epoch: int = 0,
    begin: int = 0,
    waits: frozenset[int] = frozenset(),
) -> list[int | None]:
    records: Any = Numbers(count, waits)
    return list(epoch_order(records, size, seed, epoch, begin))


def test_the_order_is_the_same_in_every_version() -> None:
    """A training is gone on with after an upgrade: these must never change."""
    assert order(10, 4, seed=7) == [2, 0, 3, 1, 4, 7, 8, 5, 6, 9]
    assert order(10, 10, seed=7, epoch=1) == [9, 6, 1, 2, 8, 4, 3, 5, 0, 7]


@given(count=st.integers(0, 60), size=st.integers(0, 70), seed=st.integers(0, 5))
def test_every_record_once_and_none_too_early(count: int, size: int, seed: int) -> None:
    numbers = [number for number in order(count, size, seed) if number is not None]
    assert sorted(numbers) == list(range(count))
    assert all(number <= place + max(0, size - 1) for place, number in enumerate(numbers))


@given(
    count=st.integers(0, 40),
    size=st.integers(0, 50),
    begin=st.integers(0, 40),
    epoch=st.integers(0, 3),
    waits=st.frozensets(st.integers(0, 40)),
)
def test_it_is_gone_on_with_at_any_place(
    count: int, size: int, begin: int, epoch: int, waits: frozenset[int]
) -> None:
    whole = [n for n in order(count, size, 3, epoch) if n is not None]
    rest = [n for n in order(count, size, 3, epoch, begin, waits) if n is not None]
    assert rest == whole[begin:]


def test_another_seed_or_epoch_is_another_order() -> None:
    orders = {tuple(order(50, 50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert len({random_seed() for _ in range(20)}) == 20


def test_waits_are_passed_on_before_the_buffer_is_full() -> None:
    numbers = iter([0, None, 1, None, 2])
    assert next(shuffled(numbers, 10, random.Random(1))) is None
    assert next(numbers) == 1, "nothing was read ahead"


@pytest.mark.parametrize("size", [20, 200])
def test_all_places_are_equally_likely(size: int) -> None:
    """Chi-squared over where the first record lands, in a buffer that holds all."""
    landed = [0] * 20
    for seed in range(4000):
        landed[order(20, size, seed).index(0)] += 1
    chi_squared = sum((count - 200) ** 2 / 200 for count in landed)
    assert chi_squared < 43.8, "0.1 % of fair shuffles are as uneven, with 19 degrees of freedom"
