"""A reader's state: what a checkpoint holds, and what it is refused for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datamill.errors import DatamillError, OtherDataset
from datamill.position import ReaderState

ONE, TWO = "1" * 64, "2" * 64
STATE: dict[str, Any] = {
    "format": 1,
    "dataset_id": ONE,
    "content_key": "a" * 64,
    "split": "train",
    "shuffle": 100,
    "seed": 5,
    "epoch": 2,
    "record": 64,
}


def refused(any_seed: bool = False, **changes: Any) -> str:
    saved, reader = ReaderState.parse(STATE | changes), ReaderState.parse(STATE)
    with pytest.raises(OtherDataset) as error:
        saved.check_goes_on(reader, any_seed)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_it_is_json_and_back() -> None:
    state = ReaderState.parse(STATE)
    assert state.model_dump() == STATE
    assert ReaderState.parse(json.dumps(STATE)) == ReaderState.parse(json.dumps(STATE).encode())
    assert ReaderState.parse(json.dumps(STATE)) == state
    state.check_goes_on(ReaderState.parse(STATE | {"epoch": 0, "record": 0}), any_seed=False)


def test_another_dataset_is_refused_by_both_ids() -> None:
    text = refused(dataset_id=TWO)
    assert ONE in text and TWO in text


def test_the_same_dataset_of_other_raw_data_is_refused() -> None:
    text = refused(content_key="b" * 64)
    assert "built anew" in text and "a" * 64 in text and "b" * 64 in text
    unknown = ReaderState.parse(STATE | {"content_key": None})
    unknown.check_goes_on(ReaderState.parse(STATE), any_seed=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"split": "validation"}, "split is 'validation', and this reader's 'train'"),
        ({"shuffle": 0}, "shuffle is 0, and this reader's 100"),
        ({"seed": 6}, "seed is 6, and this reader's 5"),
    ],
)
def test_another_order_is_refused(change: dict[str, Any], told: str) -> None:
    assert told in refused(**change)


def test_a_reader_without_a_seed_takes_any() -> None:
    saved, reader = ReaderState.parse(STATE | {"seed": 6}), ReaderState.parse(STATE)
    saved.check_goes_on(reader, any_seed=True)
    assert "split" in refused(any_seed=True, seed=6, split="test")


@pytest.mark.parametrize(
    "state",
    [
        {},
        STATE | {"record": -1},
        STATE | {"record": 1.5},
        STATE | {"epoch": "2"},
        STATE | {"format": 2},
        STATE | {"more": 1},
        {key: value for key, value in STATE.items() if key != "seed"},
        "no JSON",
        b"\xff",
        "[]",
    ],
    ids=repr,
)
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(DatamillError, match="this is no reader's state: ") as error:
        ReaderState.parse(state)
    assert "\n" not in str(error.value)
