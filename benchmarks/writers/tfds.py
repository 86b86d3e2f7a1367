"""TensorFlow Datasets: `download_and_prepare` in each process, read as one by its own reader.

A generator that hands out the transform to a pool of processes is slower: one process then
serialises and writes everything twice, into buckets and from there into shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from benchmarks.writers.job import Job, Labelled, encoded, in_processes, run


class Example(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """One share of the photographs."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = Path(__file__).parent

    def __init__(self, photographs: list[Labelled], data_dir: Path) -> None:
        self._photographs = photographs
        super().__init__(data_dir=data_dir)

    def _info(self) -> Any:
        image = tfds.features.Image(shape=(800, 800, 3), encoding_format="jpeg")
        features = {"image": image, "label": tfds.features.ClassLabel(num_classes=2)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, Any]]]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, Any]]:
        for path, label in self._photographs:
            yield path.stem, {"image": encoded(path), "label": label}


def write(job: Job) -> None:
    tfds.disable_progress_bar()
    in_processes(_write_share, job)


def _write_share(job: Job, number: int) -> None:
    builder = Example(job.share(number), job.target / str(number))
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)


def count(target: Path) -> int:
    parts = sorted(path.parent for path in target.glob("*/*/*/dataset_info.json"))
    dataset = tfds.builder_from_directories(parts).as_dataset(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    return sum(1 for _ in dataset)


if __name__ == "__main__":
    run(write, count)
