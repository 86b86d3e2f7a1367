"""The client's download, verified and unpacked, beside `curl -o /dev/null` of the same archive.

About 1 GiB over loopback, from the same notifier, which has it in the page cache. Ours ends when
the dataset's folder is in the cache of this machine, its digest checked, its files synced.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.served import Served, served_archive
from datamill.archive import MANIFEST
from datamill.cache import Cache

LIMIT = 0.8
_UNLIMITED = 1 << 50


def measure(rounds: int) -> list[Comparison]:
    """Download in turns."""
    with served_archive() as served:
        ours, peer = in_turns([lambda: download(served), lambda: _curl(served)], rounds)
    return [
        Comparison(
            "download, verified and unpacked",
            "GB/s",
            ours,
            "curl to /dev/null",
            peer,
            Limit.times_at_least(LIMIT),
        )
    ]


def download(served: Served) -> float:
    """Return GB/s of a download into an empty cache."""
    root = Path(tempfile.mkdtemp(prefix="datamill-bench-cache-"))
    try:
        cache = Cache(root, _UNLIMITED)
        with timed() as watch:
            folder = cache.obtain(served.source, served.content_key)
        assert (folder / MANIFEST).exists()
    finally:
        shutil.rmtree(root)
    return served.source.bytes / 1e9 / watch.secs


def _curl(served: Served) -> float:
    with timed() as watch:
        subprocess.run(["curl", "-sSf", "-o", "/dev/null", served.url], check=True)
    return served.source.bytes / 1e9 / watch.secs


if __name__ == "__main__":
    answer(__doc__, measure)
