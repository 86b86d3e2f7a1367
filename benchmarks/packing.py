"""What packing an archive costs beside copying the same bytes (`copy_file_range`, then fsync).

An archive grows while its shards are made: each is copied into it, and the digest of the archive
taken on, as soon as it is committed. So what packing means to one who waits is what is left to do
after the last shard. The whole work is measured too, as it comes when another builder has made the
shards: all are copied, each is compared with its digest, and that of the archive is taken.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from datamill_builder.archive_file import ArchiveFile

LIMIT = Limit.times_at_most(1.5)
SHARDS, SHARD_BYTES = 32, 32 * 1024 * 1024
GIGABYTES = SHARDS * SHARD_BYTES / 1e9


@dataclass(frozen=True)
class Shard:
    """A shard's file, and its digests."""

    path: Path
    sha256: str
    crc32: int

    @classmethod
    def of_noise(cls, path: Path) -> Shard:
        """Write one."""
        body = os.urandom(SHARD_BYTES)
        path.write_bytes(body)
        return cls(path, hashlib.sha256(body).hexdigest(), zlib.crc32(body))


def measure(rounds: int) -> list[Comparison]:
    """Pack and copy 1 GiB of shards, in turns."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        folder = Path(name)
        shards = [Shard.of_noise(folder / f"{number}.tfrecord") for number in range(SHARDS)]
        target = folder / "target"
        left, whole, peer = in_turns(
            [partial(_secs_per_gb, way, target, shards) for way in (_finish, _pack, _copy)], rounds
        )
    return [
        Comparison(question, "s per GB", ours, "copy_file_range", peer, LIMIT)
        for question, ours in (
            ("packing, after the last shard", left),
            ("packing the shards of another builder", whole),
        )
    ]


def _secs_per_gb(
    way: Callable[[Path, list[Shard]], float], target: Path, shards: list[Shard]
) -> float:
    os.sync()  # what others have left to write is not to slow this one
    secs = way(target, shards)
    target.unlink()
    return secs / GIGABYTES


def _finish(target: Path, shards: list[Shard]) -> float:
    with closing(ArchiveFile(target)) as archive:
        for shard in shards[:-1]:
            archive.add_known_shard(shard.path.name, shard.path, SHARD_BYTES, shard.crc32)
            archive.sync()
        last = shards[-1]
        with timed() as watch:
            archive.add_known_shard(last.path.name, last.path, SHARD_BYTES, last.crc32)
            archive.finish()
    return watch.secs


def _pack(target: Path, shards: list[Shard]) -> float:
    with timed() as watch, closing(ArchiveFile(target)) as archive:
        for shard in shards:
            _, found = archive.add_shard(shard.path.name, shard.path, SHARD_BYTES)
            assert found == shard.sha256
        archive.finish()
    return watch.secs


def _copy(target: Path, shards: list[Shard]) -> float:
    with timed() as watch, target.open("wb") as file:
        for shard in shards:
            with shard.path.open("rb") as source:
                left = SHARD_BYTES
                while left:
                    left -= os.copy_file_range(source.fileno(), file.fileno(), left)
        os.fsync(file.fileno())
    return watch.secs


if __name__ == "__main__":
    answer(__doc__, measure)
