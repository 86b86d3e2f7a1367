"""The client's download, verified and unpacked, beside `curl -o /dev/null` of the same archive.

About 1 GiB over loopback, from the same notifier, which has it in the page cache. Ours ends when
the dataset's folder is in the cache of this machine, its digest checked, its files synced.

Then the same over a link with a round trip of 50 ms, on which one connection has at most 1 MiB
under way: ours over four connections beside ours over one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.command import answer
from benchmarks.link import long_link
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.served import Served, served_archive
from datamill.archive import MANIFEST
from datamill.cache import Cache
from datamill.source import Source

LIMIT = 0.8
FAR_LIMIT = 3.0
ROUND_TRIP_SECS, WINDOW_BYTES, FAR_SHARDS = 0.05, 1024 * 1024, 16
_UNLIMITED = 1 << 50


def measure(rounds: int) -> list[Comparison]:
    """Download in turns."""
    with served_archive() as served:
        ours, peer = in_turns(
            [lambda: download(served.source, served), lambda: _curl(served)], rounds
        )
    with served_archive(FAR_SHARDS) as served:
        place = urlsplit(served.url)
        with long_link(place.port or 80, ROUND_TRIP_SECS, WINDOW_BYTES) as port:
            far = replace(served.source, urls=(f"http://127.0.0.1:{port}{place.path}",))
            four, one = in_turns(
                [partial(download, far, served, streams) for streams in (4, 1)], rounds
            )
    return [
        Comparison(
            "download, verified and unpacked",
            "GB/s",
            ours,
            "curl to /dev/null",
            peer,
            Limit.times_at_least(LIMIT),
            note=f"SHA-256 alone, on one core: {_hashing():.2f} GB/s",
        ),
        Comparison(
            "download over a link of 50 ms",
            "GB/s",
            four,
            "over one connection",
            one,
            Limit.times_at_least(FAR_LIMIT),
        ),
    ]


def download(source: Source, served: Served, streams: int = 4) -> float:
    """Return GB/s of a download into an empty cache."""
    root = Path(tempfile.mkdtemp(prefix="datamill-bench-cache-"))
    try:
        cache = Cache(root, _UNLIMITED, streams)
        with timed() as watch:
            folder = cache.obtain(source, served.content_key)
        assert (folder / MANIFEST).exists()
    finally:
        shutil.rmtree(root)
    return source.bytes / 1e9 / watch.secs


def _curl(served: Served) -> float:
    with timed() as watch:
        subprocess.run(["curl", "-sSf", "-o", "/dev/null", served.url], check=True)
    return served.source.bytes / 1e9 / watch.secs


def _hashing() -> float:
    """Return the GB/s that no verified download of one archive can exceed."""
    body = bytes(64 * 1024 * 1024)
    with timed() as watch:
        hashlib.sha256(body)
    return len(body) / 1e9 / watch.secs


if __name__ == "__main__":
    answer(__doc__, measure)
