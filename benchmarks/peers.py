"""Records per second of a build beside what else writes such datasets, doing the same transform.

The published example again, from nothing to readable files, on all cores. What each peer does is
in `benchmarks/writers/`; its time runs from the start of its process to the end, for that is what
one who wants a dataset waits for. Ours runs from the request to `ready`, the service running and
every round a build of its own. Peers are as nice as our workers, so that what else the machine
does slows both alike. All records are counted after each round, outside of the timing.

All take part in all rounds. A line per peer, the best one first: that one is what ours has to be
compared with. The notes say what the transform alone comes to when it is started like a peer: no
peer can do more.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.building import Builds
from benchmarks.command import answer
from benchmarks.measuring import CannotMeasure, Comparison, Limit, in_turns, timed
from benchmarks.photographs import link_classes
from benchmarks.service import cores, service
from datamill_builder.handlers.runner import NICENESS

FEW, MANY = 1000, 5000
LIMITS = {FEW: Limit.times_at_least(2.0), MANY: Limit.times_at_least(1.3)}
ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".cache" / "peers" / "bin" / "python"


class NotSetUp(CannotMeasure):
    """The environment of the peers is not there."""


@dataclass(frozen=True)
class Peer:
    """Another system, and the Python of the environment that it is installed in."""

    name: str
    module: str
    python: Path = PYTHON

    def records_per_sec(self, photographs: Path, count: int) -> float:
        """Let it write all of them into a folder that then goes away."""
        with tempfile.TemporaryDirectory(prefix="datamill-bench-") as folder:
            target = Path(folder) / "written"
            with timed() as watch:
                self._run(target, "--photographs", photographs, "--processes", cores())
            assert int(self._run(target)) == count, self.name
            shutil.rmtree(target)
            os.sync()  # what it has left to write is not to slow the next one
        return count / watch.secs

    def _run(self, *arguments: object) -> str:
        module = f"benchmarks.writers.{self.module}"
        command = ["nice", "-n", NICENESS, self.python, "-m", module, *arguments]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, env=environment, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


PEERS = (
    Peer("WebDataset", "webdataset"),
    Peer("WebDataset without PyTorch", "webdataset_alone"),
    Peer("MosaicML MDSWriter", "mosaicml"),
    Peer("Hugging Face map + save", "huggingface"),
    Peer("TensorFlow Datasets", "tfds", Path(sys.executable)),
)
BOUND = Peer("the transform alone", "nothing")
"""What bounds the peers: started like one, it stores nothing. Told in the notes."""


def measure(rounds: int) -> list[Comparison]:
    """Few photographs, then many."""
    if not PYTHON.exists():
        raise NotSetUp("no environment with the peers: make bench-setup")
    return compare(FEW, rounds) + compare(MANY, rounds)


def compare(count: int, rounds: int) -> list[Comparison]:
    """Return ours beside each peer, the best one first."""
    with service(DATAMILL_WORKERS=str(cores())) as running:
        folder = running.raw / "classification"
        link_classes(folder, count)
        builds = Builds(running, count)
        contenders = [partial(peer.records_per_sec, folder, count) for peer in (*PEERS, BOUND)]
        ours, *theirs, bound = in_turns([builds.records_per_sec, *contenders], rounds, 1)
    question = f"build of {count} photographs, start-up included"
    note = f"{BOUND.name}, nothing stored: {statistics.median(bound):.4g} records/s"
    found = [
        Comparison(question, "records/s", ours, peer.name, its, LIMITS[count], note)
        for peer, its in zip(PEERS, theirs, strict=True)
    ]
    return sorted(found, key=lambda each: -statistics.median(each.peer))


if __name__ == "__main__":
    answer(__doc__, measure)
