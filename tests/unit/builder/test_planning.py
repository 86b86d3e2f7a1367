"""Cutting a plan into shards: every line in exactly one, as even as can be."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamill_builder.planning import MAX_SHARDS, cut, cut_all, shards_for
from datamill_builder.slices import read_slice

KEYS = st.lists(st.text(max_size=20), min_size=1, max_size=60)


def write_plan(folder: Path, split: str, keys: list[str]) -> list[dict[str, Any]]:
    items = [{"key": key, "number": number} for number, key in enumerate(keys)]
    lines = "".join(json.dumps(item, sort_keys=True) + "\n" for item in items)
    (folder / f"{split}.jsonl").write_text(lines)
    return items


@settings(max_examples=50, deadline=None)
@given(keys=KEYS, data=st.data())
def test_every_item_is_in_exactly_one_shard_in_its_order(
    keys: list[str], data: st.DataObject
) -> None:
    shards = data.draw(st.integers(1, len(keys)))
    with tempfile.TemporaryDirectory() as folder:
        items = write_plan(Path(folder), "train", keys)
        plan = Path(folder) / "train.jsonl"
        slices = [read_slice(plan, shard) for shard in cut(plan, "train", len(items), shards)]
    assert [item for part in slices for item in part] == items
    assert len(slices) == shards
    sizes = [len(part) for part in slices]
    assert max(sizes) - min(sizes) <= 1


@given(
    items=st.integers(1, 10**7),
    per_item=st.integers(1, 1000),
    records_per_shard=st.integers(1, 10**6),
)
def test_there_are_as_many_shards_as_the_records_need(
    items: int, per_item: int, records_per_shard: int
) -> None:
    shards = shards_for(items, items * per_item, records_per_shard)
    assert 1 <= shards <= min(items, MAX_SHARDS)
    if shards < min(items, MAX_SHARDS):
        assert (shards - 1) * records_per_shard < items * per_item <= shards * records_per_shard


@pytest.mark.parametrize(
    ("items", "records", "records_per_shard", "shards"),
    [(8, 8, 4, 2), (9, 9, 4, 3), (1, 1000, 4, 1), (1, 0, 4, 1), (10**9, 10**9, 1, MAX_SHARDS)],
)
def test_shards_by_example(items: int, records: int, records_per_shard: int, shards: int) -> None:
    assert shards_for(items, records, records_per_shard) == shards


def test_a_handler_that_names_no_size_gets_shards_all_the_same() -> None:
    assert shards_for(10, 10, 0) == 10
    assert shards_for(10, -5, 4) == 1


def test_the_training_split_comes_first(tmp_path: Path) -> None:
    counts = {}
    for split, number in (("validation", 3), ("test", 2), ("train", 9)):
        write_plan(tmp_path, split, [f"{split} {n}" for n in range(number)])
        counts[split] = {"items": number, "records": number}
    planned = cut_all(tmp_path, counts, records_per_shard=4)
    assert [shard.split for shard in planned] == ["train"] * 3 + ["test", "validation"]
    for split, number in (("train", 9), ("test", 2), ("validation", 3)):
        found = [
            item["key"]
            for shard in planned
            if shard.split == split
            for item in read_slice(tmp_path / f"{split}.jsonl", shard)
        ]
        assert found == [f"{split} {n}" for n in range(number)]


def test_a_slice_may_hold_any_text(tmp_path: Path) -> None:
    keys = ["caf\udce9", "two\nlines", "\u2028", "\x85", "\r", "\N{CAT FACE}"]
    items = write_plan(tmp_path, "train", keys)
    size = (tmp_path / "train.jsonl").stat().st_size
    whole = SimpleNamespace(plan_offset=0, plan_bytes=size)
    assert read_slice(tmp_path / "train.jsonl", whole) == items
