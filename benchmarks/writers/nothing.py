"""Nobody: the transform in as many processes, results thrown away. No writer can be faster."""

from __future__ import annotations

from pathlib import Path

from benchmarks.writers.job import Job, encoded, in_processes, run


def write(job: Job) -> None:
    job.target.mkdir()
    in_processes(_do_share, job)
    (job.target / "count").write_text(str(len(job.photographs)))


def _do_share(job: Job, number: int) -> None:
    for path, _ in job.share(number):
        encoded(path)


def count(target: Path) -> int:
    return int((target / "count").read_text())


if __name__ == "__main__":
    run(write, count)
