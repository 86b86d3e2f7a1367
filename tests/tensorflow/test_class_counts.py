"""How many labels of each class a split has, without decoding images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

import datamill
from datamill import class_counts
from datamill.errors import DatamillError, RecordError
from tests.support.archives import PackedArchive, example, pack
from tests.tensorflow.playing import environment, play, ready, server

__all__ = ["environment", "play", "ready", "server"]

Ready = Callable[[PackedArchive], datamill.Dataset]

FEATURES = tfds.features.FeaturesDict(
    {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["ants", "bees", "wasps"]),
        "inside": {"seen": tfds.features.Sequence(tfds.features.ClassLabel(num_classes=4))},
        "score": tfds.features.Scalar(np.int64),
    }
)


def record(label: int, *seen: int) -> bytes:
    """Its image is none: whoever decodes it fails."""
    features: dict[str, Any] = {"image": b"no image", "label": label, "score": 1}
    if seen:
        features["inside/seen"] = list(seen)
    return example(**features)


SPLITS = {
    "train": [[record(0, 3, 3), record(1, 0)], [record(0), record(0, 1, 3)]],
    "validation": [[record(2)]],
}


@pytest.fixture
def dataset(ready: Ready) -> datamill.Dataset:
    archive = pack(SPLITS, features=FEATURES.to_json())
    names = {"label": ["ants", "bees", "wasps"]}
    manifest = archive.manifest.model_copy(update={"labels": names})
    return ready(
        pack(
            SPLITS,
            features=FEATURES.to_json(),
            extra={"label.labels.txt": b"ants\nbees\nwasps\n", "manifest.json": manifest.encode()},
        )
    )


def test_labels_and_sequences_of_them(dataset: datamill.Dataset) -> None:
    assert dataset.class_counts() == {"ants": 3, "bees": 1, "wasps": 0}
    assert list(dataset.class_counts()) == ["ants", "bees", "wasps"], "in the order of the classes"
    assert dataset.class_counts("validation") == {"ants": 0, "bees": 0, "wasps": 1}
    seen = dataset.class_counts(feature="inside/seen")
    assert seen == {"0": 1, "1": 1, "2": 0, "3": 3}, "a label without names has numbers"


def test_names(dataset: datamill.Dataset) -> None:
    assert dataset.label_names() == ["ants", "bees", "wasps"]
    lines = (dataset.folder / "label.labels.txt").read_text().splitlines()
    assert dataset.label_names("label") == lines
    assert dataset.label_names("inside/seen") == ["0", "1", "2", "3"]


def test_records_are_read_once(dataset: datamill.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dataset.class_counts()
    for path in map(Path, dataset.files()):
        path.write_bytes(bytes(path.stat().st_size))
    assert dataset.class_counts() == first
    (kept,) = dataset.folder.parent.glob("counts.*")
    kept.write_text("[1, ")
    with pytest.raises(RecordError):
        dataset.class_counts()


def test_a_cache_that_can_not_be_written_to(
    dataset: datamill.Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(*_arguments: object, **_options: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(class_counts.tempfile, "NamedTemporaryFile", read_only)
    with caplog.at_level("INFO", "datamill.class_counts"):
        assert dataset.class_counts()["ants"] == 3
    assert "class counts are not kept: read-only" in caplog.text


@pytest.mark.parametrize("feature", ["image", "score", "inside", "nothing"])
def test_what_is_no_label(dataset: datamill.Dataset, feature: str) -> None:
    told = f"this dataset has no class label '{feature}'; its labels: inside/seen, label"
    for ask in (
        lambda: dataset.class_counts(feature=feature),
        lambda: dataset.label_names(feature),
    ):
        with pytest.raises(DatamillError, match=f"^{told}$"):
            ask()


def test_a_dataset_without_labels(ready: Ready) -> None:
    with pytest.raises(DatamillError, match="no class label 'label'; it has none"):
        ready(pack()).class_counts()


def test_a_split_that_does_not_exist(dataset: datamill.Dataset) -> None:
    with pytest.raises(DatamillError, match="no split 'test'; this dataset has train, validation"):
        dataset.class_counts("test")


def test_labels_that_are_no_class(ready: Ready) -> None:
    archive = pack({"train": [[record(0), record(7)]]}, features=FEATURES.to_json())
    with pytest.raises(RecordError, match="label of a record is 7, and there are 3 classes"):
        ready(archive).class_counts()
