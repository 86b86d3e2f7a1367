"""A handler that can't be cut into shards: what each of its files took."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from datamill.settings import load_settings
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim
from datamill_builder.classic import write_classic
from datamill_builder.handlers.pool import OpenHandler
from datamill_builder.store import Store
from tests.support.archives import example, tfrecords


def test_the_time_of_one_piece_of_work_is_counted_once(store: Store, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    workdir.mkdir()
    paths = [workdir / f"{number}.tfrecord" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(tfrecords([example(number=number)]))

    def call(_method: str, **_arguments: Any) -> list[str]:
        return [str(path) for path in paths]

    handler = SimpleNamespace(process=SimpleNamespace(call=call), workdir=workdir)
    claim = Claim(1, TaskKind.SHARD, "c" * 64, 0, fence=1, attempts=1, epoch=1)
    began = time.monotonic() - 60.0
    with store.scratch() as folder:
        settings = load_settings(home=tmp_path)
        opened = cast(OpenHandler, handler)
        results, features = write_classic(store, claim, opened, folder, settings, began)
    assert [result.records for result in results] == [1, 1, 1]
    assert 60.0 <= results[0].secs < 120.0
    assert [result.secs for result in results[1:]] == [0.0, 0.0]
    assert features is not None
