"""How many labels of each class a split has: counted once, without decoding an image."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from datamill.archive import FEATURES
from datamill.early import files_on_disk
from datamill.errors import DatamillError, RecordError
from datamill.example import decode_feature
from datamill.features import Feature, parse_features
from datamill.records import read_records

if TYPE_CHECKING:
    from datamill.dataset import Dataset

log = logging.getLogger(__name__)


def label_names(dataset: Dataset, feature: str) -> list[str]:
    """Return the names of a label's classes, in the order of their numbers.

    The numbers themselves where the dataset has no names. Raises `DatamillError` where the feature
    is no label.
    """
    label = _label(dataset, feature)
    names = dataset.manifest.labels.get(feature)
    return list(names) if names else [str(number) for number in range(label.classes or 0)]


def class_counts(dataset: Dataset, split: str, feature: str) -> dict[str, int]:
    """Return how many labels of each class a split has, by name, in the order of the classes."""
    names = label_names(dataset, feature)
    paths = files_on_disk(dataset, split) or []
    # Beside the archive's files: it goes when they go.
    kept = dataset.folder.parent / f"counts.{split}.{quote(feature, safe='')}.json"
    counts = _kept_counts(kept, len(names))
    if counts is None:
        counts = _counted(paths, feature, len(names))
        _keep(kept, counts)
    by_name = dict.fromkeys(names, 0)
    for name, count in zip(names, counts, strict=True):
        by_name[name] += count  # nothing keeps two classes from having one name
    return by_name


def _label(dataset: Dataset, feature: str) -> Feature:
    folder = dataset.wait()
    features = parse_features(json.loads((folder / FEATURES).read_bytes()))
    labels = {one.name: one for one in features if one.classes is not None}
    if feature not in labels:
        there = f"its labels: {', '.join(sorted(labels))}" if labels else "it has none"
        raise DatamillError(f"this dataset has no class label {feature!r}; {there}")
    return labels[feature]


def _counted(paths: list[str], feature: str, classes: int) -> list[int]:
    found: Counter[Any] = Counter()
    for path in paths:
        for payload in read_records(Path(path)):
            found.update(decode_feature(payload, feature))
    beyond = sorted(number for number in found if number not in range(classes))
    if beyond:
        raise RecordError(f"{feature} of a record is {beyond[0]}, and there are {classes} classes")
    return [found[number] for number in range(classes)]


def _kept_counts(file: Path, classes: int) -> list[int] | None:
    try:
        counts = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return counts if isinstance(counts, list) and len(counts) == classes else None


def _keep(file: Path, counts: list[int]) -> None:
    try:
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as temporary:
            json.dump(counts, temporary)
        Path(temporary.name).replace(file)
    except OSError as error:
        log.info("class counts are not kept: %s", error)
