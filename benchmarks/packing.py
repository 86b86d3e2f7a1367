"""What packing an archive costs beside copying the same bytes (`copy_file_range`, then fsync).

Packing copies each shard, checks its digest, and takes the digest of the whole archive.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import closing
from pathlib import Path

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from datamill_builder.archive_file import ArchiveFile

LIMIT = 1.5
SHARDS, SHARD_BYTES = 32, 32 * 1024 * 1024


def measure(rounds: int) -> list[Comparison]:
    """Pack and copy 1 GiB of shards, in turns."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        folder = Path(name)
        digests = {_shard(folder, number) for number in range(SHARDS)}
        ours, peer = in_turns(
            [lambda: _pack(folder, digests), lambda: _copy(folder, digests)], rounds
        )
    gigabytes = SHARDS * SHARD_BYTES / 1e9
    return [
        Comparison(
            "packing",
            "s per GB",
            tuple(secs / gigabytes for secs in ours),
            "copy_file_range",
            tuple(secs / gigabytes for secs in peer),
            Limit.times_at_most(LIMIT),
        )
    ]


def _shard(folder: Path, number: int) -> tuple[Path, str]:
    path, body = folder / f"{number}.tfrecord", os.urandom(SHARD_BYTES)
    path.write_bytes(body)
    return path, hashlib.sha256(body).hexdigest()


def _pack(folder: Path, shards: set[tuple[Path, str]]) -> float:
    target = folder / "packed.zip"
    with timed() as watch, closing(ArchiveFile(target)) as archive:
        for path, digest in shards:
            _, found = archive.add_shard(path.name, path, SHARD_BYTES)
            assert found == digest
        archive.finish()
    target.unlink()
    return watch.secs


def _copy(folder: Path, shards: set[tuple[Path, str]]) -> float:
    target = folder / "copied"
    with timed() as watch, target.open("wb") as file:
        for path, _ in shards:
            with path.open("rb") as source:
                left = SHARD_BYTES
                while left:
                    left -= os.copy_file_range(source.fileno(), file.fileno(), left)
        os.fsync(file.fileno())
    target.unlink()
    return watch.secs


if __name__ == "__main__":
    answer(__doc__, measure)
