"""Events, made from rows of the catalog."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from datamill.events import Failed, Planned, Ready
from datamill_builder.catalog.lifecycle.results import (
    Failure,
)


def planned_event(build: Row[Any], dataset_id: str) -> Planned:
    """Return the event that says what will be built."""
    recipe = json.loads(build.recipe)
    said = json.loads(build.features) if build.features else {}
    return Planned(
        dataset_id=dataset_id,
        content_key=build.content_key,
        config=recipe["config"],
        features=said.get("features"),
        records=build.records_estimate or 0,
        shards=build.shards or 0,
        splits=said.get("splits"),
    )


def ready_event(build: Row[Any], dataset_id: str, public_url: str, *, cached: bool) -> Ready:
    """Return the event that says where the archive is."""
    return Ready(
        dataset_id=dataset_id,
        content_key=build.content_key,
        archive=build.archive,
        url=f"{public_url}/datasets/{build.archive}",
        bytes=build.bytes,
        sha256=build.sha256,
        records=build.records,
        shards=build.shards,
        cached=cached,
    )


def failed_event(dataset_id: str, failure: Failure) -> Failed:
    """Return the event that says why a dataset will not come."""
    return Failed(
        dataset_id=dataset_id,
        reason=failure.reason,
        message=failure.message,
        retryable=failure.retryable,
    )
