"""WebDataset: a `ShardWriter` in each process, tar files with a JPEG and a class per sample."""

from __future__ import annotations

from pathlib import Path

import webdataset

from benchmarks.writers.job import Job, encoded, in_processes, run


def write(job: Job) -> None:
    job.target.mkdir()
    in_processes(_write_share, job)


def _write_share(job: Job, number: int) -> None:
    pattern = f"{job.target}/{number}-%05d.tar"
    with webdataset.ShardWriter(pattern, maxsize=256e6, verbose=0) as writer:
        for path, label in job.share(number):
            writer.write({"__key__": path.stem, "jpg": encoded(path), "cls": label})


def count(target: Path) -> int:
    shards = sorted(map(str, target.glob("*.tar")))
    samples = webdataset.WebDataset(shards, shardshuffle=False).to_tuple("jpg", "cls")
    return sum(1 for _ in samples)


if __name__ == "__main__":
    run(write, count)
