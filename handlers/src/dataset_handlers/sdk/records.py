"""Records: what handlers give, checked against their features and serialised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dataset_handlers.sdk.errors import HandlerError
from dataset_handlers.sdk.example import Part, example_parts
from dataset_handlers.sdk.features import Feature

Record = Mapping[str, Any]


def each_record(given: Record | Iterable[Record]) -> Iterable[Record]:
    """Return the records that `records()` gave: one, or several."""
    return [given] if isinstance(given, Mapping) else given


def serialise(record: Record, features: Mapping[str, Feature]) -> list[Part]:
    """Return the parts of the record as a serialised Example.

    Raises `HandlerError` if it does not hold exactly the features that were announced.
    """
    if record.keys() != features.keys():
        raise HandlerError(f"a record holds {sorted(record)}, announced were {sorted(features)}")
    encoded = {}
    for name, feature in features.items():
        try:
            encoded[name] = (feature.kind, feature.encode(record[name]))
        except (ValueError, TypeError) as error:
            raise HandlerError(f"feature {name} of a record: {error}") from error
    return example_parts(encoded)
