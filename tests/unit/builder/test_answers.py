"""What handlers answer is looked at before it is believed."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamill_builder.handlers import answers
from datamill_builder.handlers.process import HandlerFailed
from tests.unit.builder.records import example, write_records

INFO = {"mode": "sharded", "config": {"a": [1]}, "records_per_shard": 4, "raw": "toy"}
SPEC = {"features": {"featuresDict": {"features": {"x": {"tensor": {}}}}}, "labels": {"y": ["a"]}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*INFO, *SPEC, "train", "items", "records", "bytes", "sha256", "skipped"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


def test_what_is_right_is_taken() -> None:
    assert answers.info(INFO) == INFO
    assert answers.features(None) is None
    assert answers.features(SPEC) == SPEC
    assert answers.plan({"train": {"items": 2, "records": 4}})["train"]["records"] == 4
    assert answers.paths(["a"]) == ["a"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([1], "config"),
        ({"a": float("nan")}, "canonical JSON"),
        ({"a": 2**60}, "exceeds"),
        ({"a": "\ud800"}, "resolved_config"),
        ({"a": "x" * answers.MAX_RESOLVED_BYTES}, "allowed are"),
        ({"max_bad_share": "all"}, "max_bad_share"),
        ({"max_bad_share": 2}, "max_bad_share"),
        ({"max_bad_share": True}, "max_bad_share"),
    ],
)
def test_configs_that_are_none(config: Any, words: str) -> None:
    with pytest.raises(HandlerFailed, match=words) as error:
        answers.info({**INFO, "config": config})
    assert str(error.value).startswith("resolved_config() returned ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {**SPEC, "labels": {"../../x": ["a"]}},
        {**SPEC, "labels": {"y": [1]}},
        {**SPEC, "features": {"featuresDict": 5}},
        {**SPEC, "features": {"featuresDict": {"features": {"x": 5}}}},
        {**SPEC, "features": {"featuresDict": {"features": {"x": {"a": "\ud800"}}}}},
    ],
)
def test_features_that_would_spoil_an_archive(answer: Any) -> None:
    with pytest.raises(HandlerFailed, match=r"feature_spec\(\)"):
        answers.features(answer)


@pytest.mark.parametrize("name", ["a\nb", " a", "a\t", "", " ", "a\r", "a\u2028b", "\n" * 9999])
def test_labels_that_are_no_lines(name: str) -> None:
    """The archive has them in a file, a name per line."""
    with pytest.raises(HandlerFailed, match=r"^feature_spec\(\) returned a label of y, ") as error:
        answers.features({**SPEC, "labels": {"y": ["good", name]}})
    assert len(str(error.value)) <= 500 and len(str(error.value).splitlines()) == 1


def test_labels_in_any_script() -> None:
    spec = {**SPEC, "labels": {"y": ["a b", "狐狸 🦊", "0", "a\tb"]}}
    assert answers.features(spec) == spec


@pytest.mark.parametrize("split", ["../x", "é", "", "a" * 65, "a\n"])
def test_splits_that_no_archive_can_hold(split: str) -> None:
    with pytest.raises(HandlerFailed, match=r"plan_items\(\)"):
        answers.plan({split: {"items": 1, "records": 1}})


def test_a_shard_is_compared_with_its_file(tmp_path: Path) -> None:
    file = write_records(tmp_path / "shard", [example(number=[1])])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    right = {"records": 1, "bytes": file.stat().st_size, "sha256": digest, "skipped": []}
    found, skipped_items = answers.written(right, file, [{}])
    assert (found.records, found.sha256, skipped_items) == (1, digest, [])
    assert found.crc32 == zlib.crc32(file.read_bytes())
    without_digest = {name: value for name, value in right.items() if name != "sha256"}
    assert answers.written(without_digest, file, [{}]) == (found, [])
    skipped = [{"key": "1", "reason": "bad"}] * 2
    for wrong in ({"records": 2}, {"bytes": 1}, {"sha256": "0" * 64}, {"skipped": skipped}):
        with pytest.raises(HandlerFailed, match=r"write_shard\(\) returned"):
            answers.written({**right, **wrong}, file, [{}])
    file.write_bytes(b"no records")
    right |= {"bytes": 10, "sha256": hashlib.sha256(b"no records").hexdigest()}
    with pytest.raises(HandlerFailed, match="no TFRecord file"):
        answers.written(right, file, [{}])


@pytest.mark.parametrize("check", [answers.info, answers.features, answers.plan, answers.paths])
@settings(max_examples=60, deadline=None)
@given(answer=json_values)
def test_any_answer_is_taken_or_refused(check: Callable[[Any], Any], answer: Any) -> None:
    try:
        check(answer)
    except HandlerFailed as error:
        assert 0 < len(str(error)) <= 500
