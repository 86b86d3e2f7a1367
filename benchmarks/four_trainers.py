"""Four trainers on one host that want the same finished dataset at the same moment.

One downloads, the others wait for it: the server sends one archive, and the disk holds one. Beside
it one trainer alone, in the same run.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.served import Served, served_archive
from datamill.cache import Cache
from datamill.source import Source

TRAINERS = 4
AS_LONG = 1.3
MORE_ON_DISK = 1.01
"""The file system's blocks, and the manifest."""
_UNLIMITED = 1 << 50


def measure(rounds: int) -> list[Comparison]:
    """Four and one, in turns."""
    sent: list[float] = []
    held: list[float] = []
    with served_archive() as served:
        four, one = _Trainers(TRAINERS), _Trainers(1)
        try:
            times = in_turns(
                [lambda: _obtain(four, served, sent, held), lambda: _obtain(one, served, [], [])],
                rounds,
            )
        finally:
            four.close()
            one.close()
    return [
        Comparison(
            "four trainers, one dataset: sent",
            "archives",
            tuple(sent[-rounds:]),
            "",
            (),
            Limit.at_most(1.0),
        ),
        Comparison(
            "four trainers, one dataset: on disk",
            "archives",
            tuple(held[-rounds:]),
            "",
            (),
            Limit.at_most(MORE_ON_DISK),
        ),
        Comparison(
            "four trainers, one dataset: until all have it",
            "s",
            times[0],
            "one trainer alone",
            times[1],
            Limit.times_at_most(AS_LONG),
        ),
    ]


def _obtain(trainers: _Trainers, served: Served, sent: list[float], held: list[float]) -> float:
    """Return the seconds until all have the dataset; add how many archives were sent, and are held.

    The last bytes may be counted a moment after they have come: the notifier is asked for its
    figure until it has no transfer under way.
    """
    root = Path(tempfile.mkdtemp(prefix="datamill-bench-cache-"))
    before = _sent_bytes(served)
    try:
        with timed() as watch:
            folders = trainers.obtain(root, served.source, served.content_key)
        assert len(set(folders)) == 1
        blocks = sum(file.stat().st_blocks for file in root.rglob("*") if file.is_file())
        held.append(blocks * 512 / served.source.bytes)
    finally:
        shutil.rmtree(root)
    sent.append((_sent_bytes(served) - before) / served.source.bytes)
    return watch.secs


def _sent_bytes(served: Served) -> int:
    """Return what the notifier has counted, once nothing is under way."""
    while True:
        figures = served.notifier.numbers()
        if figures["datamill_downloads_in_progress"] == 0:
            return int(figures["datamill_served_bytes_total"])


class _Trainers:
    """Processes that wait for a source and obtain it through one cache."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Any] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_trainer, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def obtain(self, root: Path, source: Source, content_key: str) -> list[str]:
        """Let all obtain it at once; return their folders."""
        for pipe in self._pipes:
            pipe.send((root, source, content_key))
        return [pipe.recv() for pipe in self._pipes]

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(10)


def _trainer(pipe: Any) -> None:
    pipe.send("here")
    while True:
        root, source, content_key = pipe.recv()
        pipe.send(os.fspath(Cache(root, _UNLIMITED).obtain(source, content_key)))


if __name__ == "__main__":
    answer(__doc__, measure)
