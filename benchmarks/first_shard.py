"""The first shard's own work: what its handler needs for it in a process that has begun already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import timed
from benchmarks.service import Running
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.handlers.process import HandlerProcess
from datamill_builder.recipe import Recipe
from datamill_builder.slices import read_slice
from datamill_builder.store import Store


class FirstShard:
    """The handler's own shard function, called with the first shard's items.

    It runs as the builder runs it, in the same environment and at the same priority, but is open
    and has written that shard once before.
    """

    def __init__(self, process: HandlerProcess, key: str, items: list[Any], target: Path) -> None:
        self._process = process
        self._key = key
        self._items = items
        self._target = target
        self.secs()

    def secs(self) -> float:
        """Return how long it takes to write it."""
        with timed() as watch:
            self._process.call(
                "shard", content_key=self._key, items=self._items, path=str(self._target)
            )
        self._target.unlink()
        return watch.secs


@contextmanager
def first_shard(running: Running, dataset_id: str) -> Iterator[FirstShard]:
    """Give the first shard of a dataset that has been planned."""
    home = running.home
    catalog, store = Catalog(f"sqlite:///{home}/catalog.sqlite"), Store(home / "store")
    try:
        with catalog.read() as connection:
            dataset = lifecycle.find_dataset(connection, dataset_id)
            assert dataset is not None and dataset.content_key
            build = lifecycle.find_build(connection, dataset.content_key)
            shard = lifecycle.find_shard(connection, dataset.content_key, 0)
        assert build is not None and shard is not None
        recipe = Recipe.model_validate_json(build.recipe)
        items = read_slice(store.plan_path(build.content_key, shard.split), shard)
    finally:
        catalog.close()
    python = home / "environments" / recipe.environment.key / "bin" / "python"
    with store.scratch() as folder:
        process = HandlerProcess(python, folder, "first shard")
        try:
            process.call(
                "open",
                entry_point=recipe.entry_point,
                config=recipe.config,
                raw_root=str(running.raw),
                raw=recipe.raw,
                dataset_name=recipe.dataset_name,
            )
            yield FirstShard(process, build.content_key, items, folder / "shard.tfrecord")
        finally:
            process.close()
