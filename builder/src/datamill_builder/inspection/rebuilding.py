"""Building shards of a dataset once more, elsewhere, and comparing their bytes with the first ones.

Nothing of the store or of the dataset is changed: what is written goes into a scratch folder.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from datamill.errors import DatamillError, NothingFound
from datamill.settings import Settings
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import raw_versions
from datamill_builder.handlers import answers
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.pool import HandlerPool, OpenHandler
from datamill_builder.handlers.sources import sources_of
from datamill_builder.planning import cut_all
from datamill_builder.raw import UnknownDataset, raw_version
from datamill_builder.recipe import Recipe
from datamill_builder.shard_file import ShardFile, read_shard
from datamill_builder.slices import read_slice
from datamill_builder.store import Store
from datamill_builder.workbench import opening_of


class NotComparable(DatamillError):
    """What it was made from is not there any more, so that nothing can be compared."""


@dataclass(frozen=True)
class Compared:
    """One shard, as it was made and as it is made now; `says` is empty where both are equal."""

    shard: int
    split: str
    sha256: str
    again: str
    says: str = ""

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "equal": not self.says}


class Rebuild:
    """One dataset, to be made again. Use it in a `with`: it keeps a handler's process."""

    def __init__(
        self, settings: Settings, catalog: Catalog, store: Store, content_key: str
    ) -> None:
        """Raise `NothingFound` where no shard of it was ever finished."""
        self.content_key = content_key
        with catalog.read() as connection:
            build = lifecycle.find_build(connection, content_key)
            self._shards = lifecycle.find_shards(connection, content_key)
        assert build is not None
        self.finished = [shard.number for shard in self._shards if shard.sha256]
        if not self.finished:
            raise NothingFound("no shard of it is finished: there is nothing to compare with")
        self.recipe = Recipe.model_validate_json(build.recipe)
        self._settings = settings
        self._catalog = catalog
        self._store = store
        folder, sources = settings.home / "environments", list(sources_of(settings).values())
        self._handlers = HandlerPool(
            Environments(folder, catalog, store, sources),
            settings.raw_folder,
            store,
            1,
            settings.open_timeout_secs,
            settings.handler_memory_bytes,
        )

    @property
    def in_one_piece(self) -> bool:
        """Whether its handler can't be cut into shards: then all are made again, or none."""
        return self.recipe.mode == "classic"

    def __enter__(self) -> Rebuild:
        return self

    def __exit__(self, *_error: object) -> None:
        self._handlers.stop_all()

    def check_comparable(self) -> None:
        """Raise `NotComparable` where equal bytes can't be expected, and say why."""
        if self.recipe.content_key != self.content_key:
            raise NotComparable(
                "it was built by a Datamill that made other bytes from the same data: it can't be "
                "compared"
            )
        folder = self.recipe.raw_folder(self._settings.raw_folder)
        try:
            now = raw_version(self._catalog, folder, self._settings.raw_digest).digest
        except UnknownDataset as error:
            raise NotComparable(f"its raw data is gone: {error}") from error
        if now != self.recipe.raw_version:
            raise NotComparable(
                f"its raw data is another by now ({self.recipe.raw_version[:12]} then, {now[:12]} "
                f"now{self._since(folder, now)}): it can't be compared; a new request builds anew"
            )

    def _since(self, folder: Path, version: str) -> str:
        """Return since when a version of raw data is known, in words, where somebody noted it."""
        table = raw_versions.c
        query = select(table.first_seen_at).where(
            table.folder == str(folder), table.version == version
        )
        with self._catalog.read() as connection:
            at = connection.scalar(query)
        return "" if at is None else f", since {_moment(at)}"

    def choose(self, count: int, seed: int) -> list[int]:
        """Return the numbers of so many shards, by chance; all where it is made in one piece."""
        if self.in_one_piece:
            return self.finished
        chosen = random.Random(seed).sample(self.finished, min(count, len(self.finished)))
        return sorted(chosen)

    def compare(self, numbers: list[int]) -> Iterator[Compared]:
        """Make shards again, one by one, and yield how they compare."""
        with (
            self._store.scratch() as folder,
            self._handlers.lend(opening_of(self.recipe)) as opened,
        ):
            if self.in_one_piece:
                yield from self._compare_whole(opened, folder)
                return
            plans = self._plans(opened, folder)
            for number in numbers:
                yield self._compare_shard(opened, folder, plans, self._shards[number])

    def _plans(self, opened: OpenHandler, folder: Path) -> dict[str, Path]:
        """Return the file of each split's plan: the one that is kept, or else a new one."""
        splits = {shard.split for shard in self._shards}
        kept = {split: self._store.plan_path(self.content_key, split) for split in splits}
        if all(path.is_file() for path in kept.values()):
            return kept
        counts = answers.plan(
            opened.process.call(
                "plan",
                content_key=self.content_key,
                folder=str(folder),
                timeout_secs=self._settings.handler_timeout_secs,
            )
        )
        planned = cut_all(folder, counts, self.recipe.records_per_shard)
        before = [(shard.split, shard.plan_offset, shard.plan_bytes) for shard in self._shards]
        if [(each.split, each.plan_offset, each.plan_bytes) for each in planned] != before:
            raise NotComparable(
                "its plan is gone, and the handler lists other source items than then"
            )
        return {split: folder / f"{split}.jsonl" for split in splits}

    def _compare_shard(
        self, opened: OpenHandler, folder: Path, plans: dict[str, Path], shard: Row[Any]
    ) -> Compared:
        items = read_slice(plans[shard.split], shard)
        path = folder / "shard.tfrecord"
        answer = opened.process.call(
            "shard",
            content_key=self.content_key,
            items=items,
            path=str(path),
            timeout_secs=self._settings.shard_timeout_secs,
        )
        found, _skipped = answers.written(answer, path, items)
        path.unlink()
        return _compared(shard, found)

    def _compare_whole(self, opened: OpenHandler, folder: Path) -> Iterator[Compared]:
        patience_secs = self._settings.handler_timeout_secs
        answer = opened.process.call("classic", timeout_secs=patience_secs)
        files = [Path(path) for path in answers.paths(answer)]
        for shard, file in zip(self._shards, files, strict=False):
            copy = folder / f"{shard.number}.tfrecord"
            shutil.copyfile(file, copy)
            yield _compared(shard, read_shard(copy))
            copy.unlink()
        for shard in self._shards[len(files) :]:
            yield Compared(shard.number, shard.split, shard.sha256, "", "it is not written now")
        for number in range(len(self._shards), len(files)):
            again = read_shard(files[number]).sha256
            yield Compared(number, "train", "", again, "it was not written then")


def _compared(shard: Row[Any], found: ShardFile) -> Compared:
    says = ""
    if found.sha256 != shard.sha256:
        then, now = (shard.records, shard.bytes), (found.records, found.bytes)
        says = (
            f"{shard.records} records in {shard.bytes} bytes then, {found.records} in "
            f"{found.bytes} now"
            if then != now
            else f"as many records and bytes, but others: {shard.records}, {shard.bytes}"
        )
    return Compared(shard.number, shard.split, shard.sha256, found.sha256, says)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
