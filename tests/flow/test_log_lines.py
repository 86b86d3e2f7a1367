"""The log of a real service: each line that is about a build says for whom that is made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.builder import BuilderProcess
from tests.support.eventually import eventually
from tests.support.listener import PlainClient
from tests.support.notifier import NotifierProcess
from tests.support.rot import flip_bit
from tests.support.toy import write_items

AS_JSON = {"DATAMILL_LOG_FORMAT": "json", "DATAMILL_LOG_LEVEL": "DEBUG"}
SHOWN = 12
"""So much of an id or a content key stands in what a line says."""


@pytest.fixture
def notifier(home: Path, broker_url: str) -> Iterator[NotifierProcess]:
    process = NotifierProcess(home, broker_url, **AS_JSON)
    yield process.start()
    assert process.stop() == 0


def lines_of(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


def unnamed(lines: list[dict[str, Any]], ids: list[str], first: dict[str, str]) -> list[Any]:
    """Return the lines that mention a dataset or its build and don't name both as they should.

    `first`: content key → the id that was asked for first.
    """
    wrong = []
    for line in lines:
        said = line["message"]
        keys = [key for key in first if key[:SHOWN] in said]
        about = [one for one in ids if one[:SHOWN] in said] + [first[key] for key in keys]
        # Rows of tasks are moved by thousands, and told of for debugging: by what they say.
        named = bool(line.get("dataset_id")) or (line["level"] == "debug" and bool(keys))
        if about and not named:
            wrong.append(line)
        if keys and line.get("content_key") not in keys:
            wrong.append(line)
        if line.get("content_key") and line.get("dataset_id") not in (*ids, None):
            wrong.append(line)
    return wrong


def test_each_line_about_a_build_names_it(
    home: Path, start_builder: Callable[..., BuilderProcess], client: Callable[[], PlainClient]
) -> None:
    builder = start_builder(home, DATAMILL_SCRUB_SECS="0.5", **AS_JSON)
    trainer = client()
    toy, spelled_out = trainer.ask("toy"), trainer.ask("toy", config={"repeat": 1})
    key = trainer.wait(toy)["content_key"]
    assert trainer.wait(spelled_out)["content_key"] == key
    refused = trainer.ask("toy", config={"no": 1})
    assert trainer.wait(refused)["event"] == "failed"
    write_items(home / "raw", ["a", "crash b"])
    crashed = trainer.ask("toy", config={"prefix": "other"})
    assert trainer.wait(crashed)["event"] == "failed"
    planned = [each for each in trainer.events if each["event"] == "planned"]
    other_key = next(each["content_key"] for each in planned if each["dataset_id"] == crashed)

    (archive,) = (home / "store" / "archives").glob("*.zip")
    flip_bit(archive)
    eventually(lambda: "is damaged; it is now" in builder.log())
    assert builder.stop() == 0

    lines = lines_of(builder.log())
    first = {key: toy, other_key: crashed}
    assert unnamed(lines, [toy, spelled_out, refused, crashed], first) == []

    told = "\n".join(line["message"] for line in lines if line.get("content_key") == key)
    for word in ("writing", "source items", "ready, ", "packing", "is damaged"):
        assert word in told
    (scrubbed,) = [line for line in lines if "is damaged; it is now" in line["message"]]
    assert (scrubbed["dataset_id"], scrubbed["content_key"]) in {(toy, key), (spelled_out, key)}


def test_so_does_each_of_the_notifier(
    home: Path,
    notifier: NotifierProcess,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
) -> None:
    start_builder(home, DATAMILL_PUBLIC_URL=notifier.url)
    trainer = client()
    dataset_id = trainer.ask("toy")
    ready = trainer.wait(dataset_id)
    os.utime(home / "store" / "archives" / ready["archive"], (1e9, 1e9))
    assert notifier.ask(f"/datasets/{ready['archive']}").status == 200
    assert notifier.admin(f"/admin/datasets/{dataset_id}/evict?force=1", "POST").status == 200

    lines = lines_of(notifier.log())
    key = ready["content_key"]
    assert unnamed(lines, [dataset_id], {key: dataset_id}) == []
    for word in ("touched since", "taken away"):
        (line,) = [line for line in lines if word in line["message"]]
        assert (line["dataset_id"], line["content_key"]) == (dataset_id, key)
