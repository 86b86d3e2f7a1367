"""Hugging Face datasets: `map(num_proc)` over the paths, then `save_to_disk(num_proc)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets

from benchmarks.writers.job import Job, encoded, run

FEATURES = datasets.Features({"label": datasets.Value("int64"), "image": datasets.Value("binary")})


def write(job: Job) -> None:
    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_dict(
        {
            "path": [str(path) for path, _ in job.photographs],
            "label": [label for _, label in job.photographs],
        }
    )
    done = rows.map(
        _encode,
        num_proc=job.processes,
        remove_columns=["path"],
        features=FEATURES,
        cache_file_name=f"{job.target}.cache.arrow",
    )
    done.save_to_disk(job.target, num_proc=job.processes)


def _encode(row: dict[str, Any]) -> dict[str, Any]:
    return {"image": encoded(Path(row["path"]))}


def count(target: Path) -> int:
    return sum(1 for row in datasets.load_from_disk(str(target)) if row["image"])


if __name__ == "__main__":
    run(write, count)
