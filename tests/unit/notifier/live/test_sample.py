"""Classes and ranges, from the records of a real archive."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Row

from datamill_notifier.live.sample import ClassCounts, Samples, ValueRange
from tests.support.archives import PackedArchive, example, pack

TFDS = "tensorflow_datasets.core.features"
FLOAT = {"tensor": {"shape": {}, "dtype": "float32", "encoding": "none"}}
DEPTH = {
    "tensor": {
        "shape": {"dimensions": ["480", "640"]},
        "dtype": "float32",
        "encoding": "none",
    }
}
FEATURES = {
    "featuresDict": {
        "features": {
            "label": {"classLabel": {"numClasses": "3"}},
            "weight": FLOAT,
            "depth": DEPTH,
            "text": {"text": {}},
        }
    }
}
NAMES = {"label": ["cat", "dog", "<b>"]}


def record(label: int, weight: float) -> bytes:
    return example(label=label, weight=weight, depth=[0.0, 1.0], text=b"x")


def build(features: Any = FEATURES, mark: str = "m") -> Row[Any]:
    said = None if features is None else json.dumps({"features": features, "labels": NAMES})
    return cast(Row[Any], SimpleNamespace(content_key="k", archive_mark=mark, features=said))


def shards(archive: PackedArchive, path: Path) -> list[Row[Any]]:
    rows = []
    with zipfile.ZipFile(path) as opened:
        for shard in archive.manifest.shards:
            info = opened.getinfo(shard.file)
            offset = info.header_offset + 30 + len(info.filename)
            row = SimpleNamespace(
                number=shard.index,
                split=shard.split,
                records=shard.records,
                archive_offset=offset,
            )
            rows.append(cast(Row[Any], row))
    return rows


def test_classes_are_counted_and_numbers_are_in_ranges(tmp_path: Path) -> None:
    archive = pack(
        {
            "train": [[record(0, 1.0), record(2, 2.0)], [record(2, 5.0), record(7, float("nan"))]],
            "test": [[record(1, 4.0)]],
        }
    )
    path = archive.write(tmp_path)
    found = Samples().of(path, build(), shards(archive, path))
    by_place = {(each.split, each.feature): each for each in found}
    assert set(by_place) == {
        (split, feature) for split in ("train", "test") for feature in ("label", "weight")
    }
    labels = by_place["train", "label"]
    assert labels.records == 4
    assert labels.found == ClassCounts([("<b>", 2), ("cat", 1), ("7", 1)])
    weights = by_place["train", "weight"].found
    assert isinstance(weights, ValueRange)
    assert (weights.low, weights.high) == (1.0, 5.0)
    assert abs(weights.mean - 8 / 3) < 1e-6
    assert sum(weights.bins) == 3
    assert (weights.bins[0], weights.bins[6], weights.bins[-1]) == (1, 1, 1)
    assert by_place["test", "weight"].found == ValueRange(4.0, 4.0, 4.0, [1])


def test_each_archive_is_read_once(tmp_path: Path) -> None:
    archive = pack({"train": [[record(0, 1.0)]]})
    path = archive.write(tmp_path)
    rows = shards(archive, path)
    samples = Samples()
    first = samples.of(path, build(), rows)
    path.unlink()
    assert samples.of(path, build(), rows) == first
    assert samples.of(path, build(mark="another"), rows) == [], "it is gone: nothing is shown"


def test_what_can_not_be_told_is_not_shown(tmp_path: Path) -> None:
    archive = pack({"train": [[record(0, 1.0)]]})
    path = archive.write(tmp_path)
    rows = shards(archive, path)
    assert Samples().of(path, build(None), rows) == []
    assert Samples().of(path, build({"featuresDict": {"features": {}}}), rows) == []
    odd = {"featuresDict": {"features": {"x": {"pythonClassName": "their.own.Feature"}}}}
    assert Samples().of(path, build(odd), rows) == []
    body = bytearray(path.read_bytes())
    body[rows[0].archive_offset + 20] ^= 1
    path.write_bytes(body)
    assert Samples().of(path, build(), rows) == []
