"""A small dataset that is played to a trainer, event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import datamill
from datamill.events import Planned, ShardDone
from datamill.sessions import close_sessions
from tests.support.archives import CONTENT_KEY, TEXT_FEATURES, PackedArchive, example
from tests.support.file_server import FileServer
from tests.support.played_builder import Answer, PlayedBuilder

SPLITS = {
    "train": [[example(number=10 * s + n, text=b"t%d" % n) for n in range(5)] for s in range(4)],
    "validation": [[example(number=100 + n, text=b"v") for n in range(3)] for _ in range(2)],
}
TRAIN = [10 * shard + n for shard in range(4) for n in range(5)]
VALIDATION = [100, 101, 102] * 2


@pytest.fixture
def environment(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DATAMILL_BROKER_URL", broker_url)
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    close_sessions()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def play(environment: Path, broker_url: str) -> Iterator[Callable[[Answer], PlayedBuilder]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(PlayedBuilder(broker_url, answer))


@pytest.fixture
def ready(
    play: Callable[[Answer], PlayedBuilder], server: FileServer
) -> Callable[[PackedArchive], datamill.Dataset]:
    """Ask for a dataset whose archive is ready."""

    def start(archive: PackedArchive) -> datamill.Dataset:
        server.add(f"/datasets/{archive.name}", archive.body)
        play(lambda request, _id: [archive.ready(request.dataset_id, server.url)])
        return datamill.request_dataset("toy", "1.0.0", {})

    return start


def planned(dataset_id: str, archive: PackedArchive, **changes: Any) -> Planned:
    fields: dict[str, Any] = {
        "content_key": CONTENT_KEY,
        "config": {},
        "features": TEXT_FEATURES,
        "records": 26,
        "shards": len(archive.manifest.shards),
    }
    return Planned(dataset_id=dataset_id, **(fields | changes))


def shard_done(
    dataset_id: str, archive: PackedArchive, index: int, server: FileServer
) -> ShardDone:
    shard = archive.manifest.shards[index]
    path = f"/datasets/{dataset_id}/shards/{index}"
    return ShardDone(
        dataset_id=dataset_id,
        index=index,
        shards=len(archive.manifest.shards),
        split=shard.split,
        url=server.add(path, archive.shards[shard.file]),
        bytes=shard.bytes,
        sha256=shard.sha256,
        records=shard.records,
    )
