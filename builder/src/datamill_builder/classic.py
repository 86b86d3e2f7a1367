"""Handlers that only know the classic contract: one piece of work, files of their own choice."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from datamill.errors import RecordError
from datamill.events import Reason
from datamill.settings import Settings
from datamill_builder.catalog.lifecycle import ShardResult
from datamill_builder.catalog.tasks import Claim
from datamill_builder.handlers import answers
from datamill_builder.handlers.pool import OpenHandler
from datamill_builder.handlers.process import HandlerFailed
from datamill_builder.inference import infer_features
from datamill_builder.shard_file import ShardFile, read_shard
from datamill_builder.store import Store, sync


def write_classic(
    store: Store,
    claim: Claim,
    opened: OpenHandler,
    folder: Path,
    settings: Settings,
    began: float,
) -> tuple[list[ShardResult], dict[str, Any] | None]:
    """Have `as_tfrecord` write its files; return them as shards, and their features.

    Files that the handler wrote into its working folder are moved, others are copied and left
    where they are.
    """
    paths = answers.paths(
        opened.process.call("classic", timeout_secs=settings.handler_timeout_secs)
    )
    files = [_take(Path(path), opened.workdir, folder, number) for number, path in enumerate(paths)]
    found = [_read(file) for file in files]
    features = infer_features(files)
    names = []
    for number, file in enumerate(files):
        sync(file)
        names.append(store.keep_shard(file, claim.subject, number, claim.fence))
    # All are made in the first one's task: what it took is not counted once more with each.
    secs = [time.monotonic() - began, *[0.0] * (len(files) - 1)]
    results = [
        ShardResult(name, shard.records, shard.bytes, shard.sha256, [], its_secs)
        for name, shard, its_secs in zip(names, found, secs, strict=True)
    ]
    return results, features


def _take(path: Path, workdir: Path, folder: Path, number: int) -> Path:
    if not path.is_file():
        raise HandlerFailed(
            Reason.HANDLER_ERROR, f"as_tfrecord() named {path.name}, which is no file"
        )
    target = folder / f"{number:05d}.tfrecord"
    if path.resolve().is_relative_to(workdir.resolve()):
        shutil.move(path, target)
    else:
        shutil.copyfile(path, target)
    return target


def _read(file: Path) -> ShardFile:
    try:
        return read_shard(file)
    except RecordError as error:
        raise HandlerFailed(
            Reason.HANDLER_ERROR, f"as_tfrecord() wrote no TFRecord file: {error}"
        ) from error
