"""What the parts hold in memory: none more for more records.

- The builder's own process, without its workers: its peak, up to the end of a build of 5,000.
- A worker: the peak of a handler's process while it makes records of large photographs, beside
  what it holds before the first one with all that it imports. At most three decoded images, by
  the largest photograph's own size.
- Growth: peaks during builds of 500 and of 50,000 records, of the builder, its largest worker, the
  notifier, and a client that waits for the dataset, downloads it and reads every record. What the
  allocators of such processes give back late is up to 10 MB; 50,000 times 200 bytes would show.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2

import datamill
from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit
from benchmarks.photographs import EXAMPLE_CONFIG, link_classes, link_small, photographs
from benchmarks.service import Running, as_client, cores, service
from datamill_builder.handlers.process import HandlerProcess
from datamill_producer.up.descendants import descendants
from tests.support.proc import forget_peak, peak_resident_bytes

BUILDER_MB, IMAGES, GROWTH_MB = 150.0, 3.0, 10.0
FEW, SOME, MANY = 500, 5000, 50_000
_SIDE = 32
_NAME, _HANDLER = "classification", "dataset_handlers.classification:ClassificationHandler"
_RUNNER = "datamill_builder/handlers/runner.py"
_WORKER_CONFIGS: dict[str, dict[str, Any]] = {
    "1024x1024, crop 800x800": EXAMPLE_CONFIG,
    "own size, rotated, flipped, brightened": {
        "image_size": None,
        "rotate_degrees": 10,
        "flip_probability": 0.5,
        "brightness": 0.1,
        "variations_per_sample": 2,
    },
    "own size, all changes of colours": {
        "image_size": None,
        "exposure": 0.5,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
        "hue_degrees": 10,
        "gamma": 0.2,
        "blur_sigma": 2,
        "noise_sigma": 2,
        "recompress_quality": [60, 95],
        "variations_per_sample": 2,
    },
}


def measure(rounds: int, few: int = FEW, some: int = SOME, many: int = MANY) -> list[Comparison]:
    """Measure workers alone, then all parts of a service."""
    found = [_worker(what, config, rounds) for what, config in _WORKER_CONFIGS.items()]
    return found + _parts(rounds, few, some, many)


def _worker(what: str, config: dict[str, Any], rounds: int) -> Comparison:
    image_bytes = max(_decoded_bytes(path) for path in photographs("highres"))
    images = tuple(_worker_bytes(config) / image_bytes for _ in range(rounds))
    return Comparison(
        f"worker beside its interpreter, {what}",
        f"images of {image_bytes / 1e6:.0f} MB",
        images,
        "",
        (),
        Limit.at_most(IMAGES),
    )


def _decoded_bytes(path: Path) -> int:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert pixels is not None
    return int(pixels.nbytes)


def _worker_bytes(config: dict[str, Any]) -> int:
    """Return what a new handler process takes at its peak beyond what it held before it began."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        raw_root, shard = Path(name) / "raw", str(Path(name) / "shard")
        links = link_classes(raw_root / _NAME, len(photographs("highres")), "highres")
        process = HandlerProcess(Path(sys.executable), Path(name), "worker")
        try:
            process.call(
                "open",
                entry_point=_HANDLER,
                config=config,
                raw_root=str(raw_root),
                raw=None,
                dataset_name=_NAME,
            )
            process.call("plan", content_key="key", folder=name)
            plan = Path(name, "train.jsonl").read_text().splitlines()
            items = [json.loads(line) for line in plan]
            process.call("shard", content_key="key", items=[], path=shard)
            (pid,) = (pid for pid in descendants(os.getpid()) if _runs(pid, _RUNNER))
            forget_peak(pid)
            before = peak_resident_bytes(pid)
            process.call("shard", content_key="key", items=items, path=shard)
            assert len(items) == len(links)
            return peak_resident_bytes(pid) - before
        finally:
            process.close()


def _runs(pid: int, what: str) -> bool:
    try:
        return what.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False  # it ended while we looked


def _parts(rounds: int, few: int, some: int, many: int) -> list[Comparison]:
    counts = (few, some, many)
    datasets = {_name(count): {"handler": _NAME} for count in counts}
    with service(
        notifier=True, DATAMILL_WORKERS=str(cores()), DATAMILL_DATASETS=json.dumps(datasets)
    ) as running:
        for count in counts:
            link_small(running.raw / _name(count), count, _SIDE)
        processes, seeds = _Processes(running), itertools.count()

        def peaks(count: int) -> dict[str, float]:
            processes.forget_peaks()
            client = _client_peak(running, _name(count), next(seeds), count)
            return {**processes.peaks(), "client": client}

        idle = processes.peaks()["builder"]
        for count in (few, some):
            peaks(count)  # each part has done everything once
        working = tuple(peaks(some)["builder"] for _ in range(rounds))
        pairs = [(peaks(few), peaks(many)) for _ in range(rounds)]
    alone = [
        Comparison(
            f"builder without workers, {when}", "MB", peak, "", (), Limit.at_most(BUILDER_MB)
        )
        for when, peak in (("idle", (idle,)), (f"build of {some:,}", working))
    ]
    return alone + [
        Comparison(
            f"peak of the {part}, build of {many:,} records",
            "MB",
            tuple(large[part] for _, large in pairs),
            f"build of {few:,}",
            tuple(small[part] for small, _ in pairs),
            Limit.more_at_most(GROWTH_MB),
        )
        for part in pairs[0][0]
    ]


def _name(count: int) -> str:
    return f"small-{count}"


class _Processes:
    """The processes of a service."""

    def __init__(self, running: Running) -> None:
        assert running.builder.process is not None
        self._builder = running.builder.process.pid
        ours = descendants(os.getpid())
        (self._notifier,) = (pid for pid in ours if _runs(pid, "datamill_notifier"))

    def forget_peaks(self) -> None:
        """Let peaks begin anew."""
        for pid in (self._builder, self._notifier, *self._workers()):
            forget_peak(pid)

    def peaks(self) -> dict[str, float]:
        """Return the peak of each part in MB; of the largest worker, if there is one."""
        found = {
            "builder": peak_resident_bytes(self._builder) / 1e6,
            "notifier": peak_resident_bytes(self._notifier) / 1e6,
        }
        workers = [peak_resident_bytes(pid) / 1e6 for pid in self._workers()]
        return {**found, "largest worker": max(workers)} if workers else found

    def _workers(self) -> list[int]:
        return [pid for pid in descendants(self._builder) if _runs(pid, _RUNNER)]


def _client_peak(running: Running, name: str, seed: int, count: int) -> float:
    """Build a dataset for a client in a process of its own; return the client's peak in MB."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with as_client(running):
        process = context.Process(target=_train, args=(theirs, name, seed))
        process.start()
    theirs.close()
    read, peak = ours.recv()
    process.join()
    assert read == count
    return float(peak)


def _train(pipe: Any, name: str, seed: int) -> None:
    config = {"image_size": [_SIDE, _SIDE], "crop_size": [_SIDE, _SIDE], "seed": seed}
    dataset = datamill.request_dataset(name, "1.0.0", config)
    dataset.wait(timeout=3600)
    records = sum(1 for _ in dataset.as_numpy())
    pipe.send((records, peak_resident_bytes(os.getpid()) / 1e6))


if __name__ == "__main__":
    answer(__doc__, measure)
