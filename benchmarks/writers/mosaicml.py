"""MosaicML Streaming: an `MDSWriter` in each process, a partition each, the index merged.

Its readers import torchvision and transformers, and so does `import streaming`; its writer needs
nothing of them. They are left out here, which saves the peer half of its start: a torchvision
that goes with a CPU build of PyTorch can't be had from every index.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from benchmarks.writers.job import Job, encoded, in_processes, run

READERS_NEED: dict[str, tuple[str, ...]] = {
    "torchvision.datasets": ("VisionDataset",),
    "torchvision.transforms.functional": ("to_tensor",),
    "transformers.feature_extraction_utils": ("BatchFeature",),
    "transformers.models.auto.tokenization_auto": ("AutoTokenizer",),
    "transformers.tokenization_utils_base": ("BatchEncoding",),
}


def leave_out(needed: dict[str, tuple[str, ...]]) -> None:
    """Put an empty module in place of each, and of the packages around it."""
    for path, names in needed.items():
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name not in sys.modules:
                sys.modules[name] = ModuleType(name)
                sys.modules[name].__spec__ = ModuleSpec(name, None)
        for attribute in names:
            setattr(sys.modules[path], attribute, type(attribute, (), {}))


leave_out(READERS_NEED)

from streaming import MDSWriter, StreamingDataset  # noqa: E402
from streaming.base.util import merge_index  # noqa: E402


def write(job: Job) -> None:
    in_processes(_write_share, job)
    merge_index(str(job.target))


def _write_share(job: Job, number: int) -> None:
    columns = {"image": "bytes", "label": "int64"}
    with MDSWriter(out=f"{job.target}/{number}", columns=columns) as writer:
        for path, label in job.share(number):
            writer.write({"image": encoded(path), "label": label})


def count(target: Path) -> int:
    dataset = StreamingDataset(local=str(target), batch_size=1)
    return sum(1 for number in range(len(dataset)) if dataset[number]["image"])


if __name__ == "__main__":
    run(write, count)
