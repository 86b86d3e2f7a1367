"""What values records have: classes counted, numbers in ranges, over the first records.

Items are in the order of a keyed hash, so the first records of a split are a fair sample of it.
The archive is read, not the shards as they were made: it is there as long as the dataset is ready.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from datamill.errors import ArchiveError, RecordError
from datamill.example import decode_feature
from datamill.features import Feature, parse_features
from datamill.records import read_stream

log = logging.getLogger(__name__)

_MOST_RECORDS = 1000
"""Of each split."""
_MOST_BYTES = 32 * 1024 * 1024
_MOST_SECS = 1.0
_MOST_FEATURES = 8
_MOST_VALUES = 64
"""Of one feature of one record."""
_BINS = 24
_KEPT = 200

Values = list[int] | list[float]


@dataclass(frozen=True)
class ClassCounts:
    """How often each class is there, most often first."""

    counts: list[tuple[str, int]]


@dataclass(frozen=True)
class ValueRange:
    """Where numbers lie: `bins` counts them in equal steps from `low` to `high`."""

    low: float
    high: float
    mean: float
    bins: list[int]


@dataclass(frozen=True)
class SampledFeature:
    """One feature in the first records of one split."""

    feature: str
    split: str
    records: int
    found: ClassCounts | ValueRange


class Samples:
    """Samples of archives; each is taken once. For any thread."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], list[SampledFeature]] = {}

    def of(
        self, archive: Path, build: Row[Any], shards: Sequence[Row[Any]]
    ) -> list[SampledFeature]:
        """Return what the records of a finished build hold; nothing where that can't be told."""
        key = str(build.content_key), str(build.archive_mark)
        if key not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = _sample(archive, build.features, shards)
        return self._kept[key]


def _sample(
    archive: Path, described: str | None, shards: Sequence[Row[Any]]
) -> list[SampledFeature]:
    if described is None:
        return []
    document = json.loads(described)
    try:
        features = [each for each in parse_features(document["features"]) if _is_plottable(each)]
        if not features:
            return []
        labels: dict[str, list[str]] = document.get("labels", {})
        return list(_of_splits(archive, features[:_MOST_FEATURES], labels, shards))
    except (ArchiveError, RecordError, OSError, KeyError) as error:
        log.info("%s: its values are not shown: %s", archive.name, error)
        return []


def _is_plottable(feature: Feature) -> bool:
    """Return whether a feature is a class or a few numbers: a depth map is neither."""
    few = all(size is None or size <= _MOST_VALUES for size in feature.shape)
    return feature.kind == "label" or (
        feature.kind == "tensor" and feature.dtype != "string" and few and len(feature.shape) < 2
    )


def _of_splits(
    archive: Path,
    features: list[Feature],
    labels: dict[str, list[str]],
    shards: Sequence[Row[Any]],
) -> Iterator[SampledFeature]:
    by_split: dict[str, list[Row[Any]]] = {}
    for row in shards:
        by_split.setdefault(row.split, []).append(row)
    with archive.open("rb") as file:
        for split, rows in by_split.items():
            values: dict[str, list[Any]] = {feature.name: [] for feature in features}
            records = 0
            for payload in _first_records(file, rows, _MOST_SECS / len(by_split)):
                records += 1
                for feature in features:
                    found = decode_feature(payload, feature.name)
                    values[feature.name] += found[:_MOST_VALUES]
            for feature in features:
                if values[feature.name]:
                    names = labels.get(feature.name)
                    summed = _summed(feature, values[feature.name], names)
                    yield SampledFeature(feature.name, split, records, summed)


def _first_records(file: Any, rows: Sequence[Row[Any]], most_secs: float) -> Iterator[bytes]:
    ends = time.monotonic() + most_secs
    records = size = 0
    for row in rows:
        if row.archive_offset is None:
            return
        file.seek(row.archive_offset)
        for payload in islice(read_stream(file), row.records):
            yield payload
            records, size = records + 1, size + len(payload)
            if records >= _MOST_RECORDS or size >= _MOST_BYTES or time.monotonic() > ends:
                return


def _summed(feature: Feature, values: list[Any], names: list[str] | None) -> Any:
    if feature.classes is not None:
        counted = Counter(values).most_common()
        known = names or []
        return ClassCounts(
            [
                (known[number] if 0 <= number < len(known) else str(number), times)
                for number, times in counted
            ]
        )
    return _range(values)


def _range(values: Values) -> ValueRange:
    finite = [value for value in values if abs(value) < float("inf")]  # NaN is not, either
    if not finite:
        return ValueRange(0.0, 0.0, 0.0, [])
    low, high = float(min(finite)), float(max(finite))
    bins = [0] * (_BINS if high > low else 1)
    for value in finite:
        place = (value - low) / (high - low) * len(bins) if high > low else 0
        bins[min(int(place), len(bins) - 1)] += 1
    return ValueRange(low, high, sum(finite) / len(finite), bins)
