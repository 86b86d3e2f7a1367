"""Parameters that several routes take."""

from __future__ import annotations

from datamill_notifier.openapi.operations import Document, in_path, in_query
from datamill_notifier.openapi.schemas import DATASET_ID
from datamill_notifier.parameters import MAX_LIMIT

ID = in_path("dataset_id", DATASET_ID, "The dataset id.")
LIMIT = in_query(
    "limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, "At most so many."
)
TIME: Document = {"type": "string", "examples": ["2026-01-31T12:00:00Z", "1769860800"]}
