"""What a record costs in builds of 500, 5,000 and 50,000 photographs.

Seconds from the request to `ready` per record, without the start that every build has: it is
measured in the same run by builds of one record. The same in seconds of the processors that the
builder and its handlers took: what else the machine does disturbs those less.

Photographs of 128x128 become records of 64x64, so that the service's own share is large. A second
worker's start is not in a build of one record, so that the cost of few records is a little too
high, never that of many.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.photographs import link_small
from benchmarks.service import Running, cores, service
from tests.support.listener import PlainClient
from tests.support.proc import processor_secs

LIMIT = 1.05
COUNTS = (500, 5000, 50_000)
_SOURCE_SIDE = 128
CONFIG = {"image_size": [64, 64], "crop_size": [64, 64]}


def measure(rounds: int, counts: Sequence[int] = COUNTS) -> list[Comparison]:
    """Build datasets of all sizes, in turns."""
    datasets = {_name(count): {"handler": "classification"} for count in (1, *counts)}
    with service(DATAMILL_WORKERS=str(cores()), DATAMILL_DATASETS=json.dumps(datasets)) as running:
        client = running.client()
        builds = [_Build(running, client, count) for count in (1, *counts)]
        wall = in_turns(builds, rounds)
        client.close()
    processors = [tuple(build.processor_secs[-rounds:]) for build in builds]
    return [
        comparison
        for what, secs in (("time", wall), ("processor time", processors))
        for comparison in _compared(what, secs, counts)
    ]


def _compared(
    what: str, secs: Sequence[tuple[float, ...]], counts: Sequence[int]
) -> list[Comparison]:
    first, *others = secs
    marginal = [
        tuple((some - one) / (count - 1) * 1e3 for some, one in zip(other, first, strict=True))
        for count, other in zip(counts, others, strict=True)
    ]
    plain = [
        f"{count:,}: {sorted(other)[len(other) // 2] / count * 1e3:.3g} ms"
        for count, other in zip(counts, others, strict=True)
    ]
    return [
        Comparison(
            f"{what} per record, build of {counts[larger]:,}",
            "ms",
            marginal[larger],
            f"build of {counts[smaller]:,}",
            marginal[smaller],
            Limit.times_at_most(LIMIT),
            note=f"with the start, {'; '.join(plain)}",
        )
        for smaller, larger in itertools.combinations(range(len(counts)), 2)
    ]


def _name(count: int) -> str:
    return f"photos-{count}"


class _Build:
    """Builds a dataset of some size anew with every call, and returns the seconds it took."""

    def __init__(self, running: Running, client: PlainClient, count: int) -> None:
        link_small(running.raw / _name(count), count, _SOURCE_SIDE)
        assert running.builder.process is not None
        self._pid = running.builder.process.pid
        self._client = client
        self._count = count
        self._seeds = itertools.count()
        self.processor_secs: list[float] = []

    def __call__(self) -> float:
        before = processor_secs(self._pid)
        with timed() as watch:
            config = {**CONFIG, "seed": next(self._seeds)}
            dataset_id = self._client.ask(_name(self._count), "1.0.0", config)
            event = self._client.wait(dataset_id, timeout_secs=3600)
        assert event["event"] == "ready" and event["records"] == self._count, event
        self.processor_secs.append(processor_secs(self._pid) - before)
        return watch.secs


if __name__ == "__main__":
    answer(__doc__, measure)
