"""The files of a split, each as soon as it is there: shards while the build runs, then the rest.

Shards come in the order of their indices, as in the archive: the records are the same, in the
same order, whenever one starts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from datamill.archive import FEATURES
from datamill.download import Source
from datamill.errors import DatamillError, Gone, NotCached, RequestFailed, ServiceUnavailable
from datamill.events import ShardDone
from datamill.http_session import feed
from datamill.http_state import fetch_state

if TYPE_CHECKING:
    from datamill.dataset import Dataset

log = logging.getLogger(__name__)

_LOOK_SECS = 5.0
"""How long to wait for an event before looking at the state, in case it was missed."""


def split_files(dataset: Dataset, split: str) -> Iterator[str]:
    """Yield the paths of a split's files, in order, each when it is there.

    Raises `RequestFailed`, `DownloadError`; `DatamillError` for a split that does not exist.
    """
    index = 0
    found = False
    while not _is_here(dataset) and (shard := _await_shard(dataset, index)) is not None:
        if shard.split == split:
            found = True
            path = _fetch(dataset, shard)
            if path is None:
                break
            yield path
        index += 1
        if index == shard.shards and found:
            return
    yield from _rest(dataset, split, index)


def known_features(dataset: Dataset) -> dict[str, Any]:
    """Return features.json, from the plan if the build still runs. Raises `RequestFailed`."""
    tracker = dataset.tracker
    if not _is_here(dataset):
        _await(dataset, lambda: tracker.planned is not None or tracker.answered)
        if not tracker.answered and tracker.planned and tracker.planned.features:
            return tracker.planned.features
    document: dict[str, Any] = json.loads((dataset.wait() / FEATURES).read_bytes())
    return document


def _rest(dataset: Dataset, split: str, index: int) -> Iterator[str]:
    """Yield what an archive has from a shard on."""
    folder = dataset.wait()
    manifest = dataset.manifest
    planned = dataset.tracker.planned
    if index and planned and planned.content_key != manifest.content_key:
        raise DatamillError(f"{dataset.id[:12]} was built anew while it was read; start again")
    if split not in manifest.splits:
        raise DatamillError(
            f"there is no split {split!r}; this dataset has {', '.join(manifest.splits)}"
        )
    for shard in manifest.shards[index:]:
        if shard.split == split:
            yield str(folder / shard.file)


def _is_here(dataset: Dataset) -> bool:
    try:
        return dataset.folder.is_dir()
    except NotCached:
        return False


def _await_shard(dataset: Dataset, index: int) -> ShardDone | None:
    """Return a shard's event; None once the whole archive can be had instead."""
    tracker = dataset.tracker
    _await(dataset, lambda: index in tracker.shards or tracker.answered)
    return None if tracker.ready else tracker.shards.get(index)


def _await(dataset: Dataset, condition: Callable[[], bool]) -> None:
    """Wait for what events tell; look at the state too: some came before anybody listened."""
    tracker = dataset.tracker
    while not condition():
        dataset.keep_asking()
        _look(dataset)
        tracker.wait_until(condition, _LOOK_SECS)
    if failed := tracker.failed:
        raise RequestFailed(failed.reason.value, failed.message, failed.retryable, dataset.id)


def _look(dataset: Dataset) -> None:
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


def _fetch(dataset: Dataset, shard: ShardDone) -> str | None:
    """Return the path of a shard's file; None if it can't be had by itself any more."""
    source = Source((shard.url,), shard.bytes, shard.sha256)
    try:
        return str(dataset.cache.obtain_shard(dataset.id, shard.index, source))
    except Gone:
        return None
