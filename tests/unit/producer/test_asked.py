"""Requests and dataset ids as they are written on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from datamill_producer.asked import parse_asked

REQUEST: dict[str, Any] = {
    "dataset_name": "duts",
    "handler_version": "1.0.0",
    "dataset_config": {"jpeg_quality": 90, "name": "two words"},
}


@pytest.mark.parametrize("text", ["5a57948d", "0" * 64, "nothex"])
def test_one_word_is_a_dataset_id(text: str) -> None:
    assert parse_asked(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "duts 1.0.0 -o jpeg_quality=90 -o 'name=two words'",
        """duts 1.0.0 --config '{"jpeg_quality": 1, "name": "two words"}' -o jpeg_quality=90""",
        json.dumps(REQUEST),
        f"  {json.dumps(REQUEST)}",
    ],
)
def test_a_request_in_words_or_as_json(text: str) -> None:
    assert parse_asked(text) == REQUEST


def test_a_request_without_options_and_one_in_a_file(tmp_path: Path) -> None:
    assert parse_asked("duts 1.0.0") == REQUEST | {"dataset_config": {}}
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    assert parse_asked(f"@{tmp_path / 'request.json'}") == REQUEST


@pytest.mark.parametrize(
    "text",
    [
        "duts 1.0.0 jpeg_quality=90",
        "duts 1.0.0 -o",
        "duts 1.0.0 -o jpeg_quality",
        "duts 1.0.0 --wait yes",
        "duts '1.0.0",
        "'duts 1.0.0'",
        "duts 1.0.0 --config [1]",
        "{",
        "@/no/such/file",
    ],
)
def test_what_is_none_says_what_there_can_be(text: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse_asked(text)
    assert caught.value.message
