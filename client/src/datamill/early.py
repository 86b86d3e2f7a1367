"""The files of a split, each as soon as it is there: shards while the build runs, then the rest.

Shards come in the order of their indices, as in the archive: the records are the same, in the
same order, whenever one starts.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from datamill import tracing
from datamill.archive import FEATURES
from datamill.errors import DatamillError, Gone, NotCached, RequestFailed, ServiceUnavailable
from datamill.events import ShardDone

if TYPE_CHECKING:
    from datamill.archive.manifest import Manifest, ManifestShard
    from datamill.dataset import Dataset
    from datamill.tracker import Tracker

log = logging.getLogger(__name__)

_LOOK_SECS = 5.0
"""How long to wait for an event before looking at the state, in case it was missed."""

_TURN_SECS = 1.0
"""How long a wait takes until whoever waits may give it up."""


def split_files(dataset: Dataset, split: str) -> Iterator[str]:
    """Yield the paths of a split's files, in order, each when it is there.

    Raises `RequestFailed`, `DownloadError`; `DatamillError` for a split that does not exist.
    """
    return (path for path in files_and_pauses(dataset, split) if path is not None)


def files_and_pauses(dataset: Dataset, split: str) -> Iterator[str | None]:
    """Yield what `split_files` yields; before a wait for the build, and every second of it, None.

    Whoever reads can give up then: TensorFlow ends no iterator that is waited in.
    """
    for shard in shards_and_pauses(dataset, split):
        yield None if shard is None else shard.path()


@dataclass(frozen=True)
class SplitShard:
    """A shard of a split that is built."""

    records: int
    path: Callable[[], str]
    """Returns the path of its file, fetched if it is not here. Raises `DownloadError`."""


def shards_and_pauses(dataset: Dataset, split: str) -> Iterator[SplitShard | None]:
    """Yield a split's shards, in order, each when it is built; and None as `files_and_pauses`.

    Raises `RequestFailed`, `DownloadError`; `DatamillError` for a split that does not exist.
    """
    index = 0
    found = False
    dataset.shards_read = 0
    while not _is_here(dataset):
        if not _is_known(dataset, index):
            _tell_waiting(dataset, index)
            yield None
        yield from _waits(dataset, partial(_is_known, dataset, index))
        shard = _early_shard(dataset, index)
        if shard is None:
            break
        dataset.shards_read = index + 1
        if shard.split == split:
            found = True
            yield SplitShard(shard.records, partial(_early_path, dataset, shard))
        index += 1
        if index == shard.shards and found:
            return
    yield from _rest(dataset, split, index)


def expected_records(dataset: Dataset, split: str) -> int | None:
    """Return how many records a split has, or will have by the plan; None where that says nothing.

    Raises `RequestFailed`; `DatamillError` for a split that does not exist.
    """
    tracker = dataset.tracker
    if not _is_here(dataset):
        _await(dataset, lambda: tracker.planned is not None or tracker.answered)
        if tracker.planned is None or not _is_current(tracker):
            dataset.wait()
    counts = _exact_counts(dataset) or (tracker.planned.splits if tracker.planned else None)
    if counts is None:
        return None
    if split not in counts:
        raise _no_split(split, counts)
    return counts[split]


def exact_records(dataset: Dataset, split: str) -> int | None:
    """Return how many records a split has; None while that is not certain."""
    counts = _exact_counts(dataset)
    return counts.get(split) if counts else None


def content_key(dataset: Dataset) -> str | None:
    """Return the content key of what is, or will be, ready; None while that is not known."""
    if _is_here(dataset):
        return dataset.manifest.content_key
    known = dataset.tracker.ready or dataset.tracker.planned
    return known.content_key if known else None


def _exact_counts(dataset: Dataset) -> dict[str, int] | None:
    """Return the records of each split; None while they are not all built."""
    if _is_here(dataset):
        return _by_split(dataset.manifest.shards)
    shards = list(dataset.tracker.shards.values())
    if not shards or len(shards) < shards[0].shards or not _is_current(dataset.tracker):
        return None
    return _by_split(shards)


def _by_split(shards: Iterable[ShardDone | ManifestShard]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for shard in shards:
        counts[shard.split] = counts.get(shard.split, 0) + shard.records
    return counts


def _tell_waiting(dataset: Dataset, index: int) -> None:
    told = dataset.tracker.progress
    rate = f", which makes {told.records_per_sec:.0f} records/s" if told else ""
    log.info("%s: read %d shards; waiting for the build%s", dataset.id[:12], index, rate)


def files_on_disk(dataset: Dataset, split: str) -> list[str] | None:
    """Return the paths of a split's files where the whole dataset is on this machine.

    Raises `DatamillError` for a split that does not exist.
    """
    if not _is_here(dataset):
        return None
    there = dataset.manifest.splits
    if split not in there:
        raise _no_split(split, there)
    return dataset.files(split)


def known_features(dataset: Dataset) -> dict[str, Any]:
    """Return features.json, from the plan if the build still runs. Raises `RequestFailed`."""
    tracker = dataset.tracker
    if not _is_here(dataset):
        _await(dataset, lambda: tracker.planned is not None or tracker.answered)
        if _is_current(tracker) and tracker.planned and tracker.planned.features:
            return tracker.planned.features
    document: dict[str, Any] = json.loads((dataset.wait() / FEATURES).read_bytes())
    return document


def _rest(dataset: Dataset, split: str, index: int) -> Iterator[SplitShard]:
    """Yield what an archive has from a shard on."""
    manifest = _whole(dataset, going_on=index > 0)
    if split not in manifest.splits:
        raise _no_split(split, manifest.splits)
    for shard in manifest.shards[index:]:
        if shard.split == split:
            yield SplitShard(shard.records, partial(str, dataset.folder / shard.file))


def _whole(dataset: Dataset, going_on: bool) -> Manifest:
    """Wait for all of a dataset; raise `DatamillError` if it is not what was begun with."""
    dataset.wait()
    manifest, planned = dataset.manifest, dataset.tracker.planned
    if going_on and planned and planned.content_key != manifest.content_key:
        raise DatamillError(f"{dataset.id[:12]} was built anew while it was read; start again")
    return manifest


def _no_split(split: str, there: Iterable[str]) -> DatamillError:
    return DatamillError(f"there is no split {split!r}; this dataset has {', '.join(there)}")


def _is_here(dataset: Dataset) -> bool:
    try:
        return dataset.folder.is_dir()
    except NotCached:
        return False


def _is_known(dataset: Dataset, index: int) -> bool:
    return index in dataset.tracker.shards or dataset.tracker.answered


def _early_shard(dataset: Dataset, index: int) -> ShardDone | None:
    """Return a shard's event; None once the whole archive is to be had instead.

    A shard that is known is taken by itself even when all is ready: it may be on the disk.
    """
    tracker = dataset.tracker
    return tracker.shards.get(index) if _is_current(tracker) else None


def _is_current(tracker: Tracker) -> bool:
    """Return whether the shards and the plan that are known are of what is, or will be, ready."""
    planned, ready = tracker.planned, tracker.ready
    return ready is None or (planned is not None and planned.content_key == ready.content_key)


def _await(dataset: Dataset, condition: Callable[[], bool]) -> None:
    """Wait as `_waits` does."""
    for _ in _waits(dataset, condition):
        continue


def _waits(dataset: Dataset, condition: Callable[[], bool]) -> Iterator[None]:
    """Wait for what events tell; look at the state too: some came before anybody listened.

    Yields every second. Raises `RequestFailed`.
    """
    tracker = dataset.tracker
    look_at = 0.0
    while not condition():
        if time.monotonic() >= look_at:
            dataset.keep_asking()
            _look(dataset)
            look_at = time.monotonic() + _LOOK_SECS
        if not tracker.wait_until(condition, _TURN_SECS):
            yield
    if failed := tracker.failed:
        raise RequestFailed(failed.reason.value, failed.message, failed.retryable, dataset.id)


def _look(dataset: Dataset) -> None:
    from datamill.http_session import feed
    from datamill.http_state import fetch_state

    http_url = dataset.http_url or _server_of(dataset.tracker.shards)
    if http_url is None:
        return
    try:
        state = fetch_state(http_url, dataset.id)
    except ServiceUnavailable as error:
        log.debug("%s", error)
        return
    # A failure may be that of an earlier request; this one's comes as an event.
    if state is not None and state.state in ("building", "ready"):
        feed(dataset.tracker, state)


def _server_of(shards: dict[int, ShardDone]) -> str | None:
    for shard in list(shards.values()):
        return shard.url.rsplit("/datasets/", 1)[0]
    return None


def _early_path(dataset: Dataset, shard: ShardDone) -> str:
    """Return the path of a shard's file; out of the archive if it can't be had by itself."""
    source = dataset.shard_source(shard)
    try:
        with tracing.Carrying(dataset.trace):
            return str(dataset.cache.obtain_shard(dataset.id, shard.index, source))
    except Gone:
        file = _whole(dataset, going_on=dataset.shards_read > 1).shards[shard.index].file
        return str(dataset.folder / file)
