"""What a notifier counts by itself, for `/metrics`."""

from __future__ import annotations

from datamill_builder.catalog.counters import Counted

DOWNLOADS = Counted(
    "downloads",
    "Downloads of archives that began; all that one client takes of one is one.",
)
PIECES = Counted(
    "download_pieces",
    "Answers with an archive or a range of one, sent as they were asked for or broken off.",
    "outcome",
    ("sent", "broken"),
)
RESPONSES = Counted("http_responses", "Answers over HTTP that were begun.", "status")
EVENT_LAG_SECS = Counted(
    "event_lag_seconds",
    "From the time that an event says to its handing over to those who listen.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)

ALL = (DOWNLOADS, PIECES, RESPONSES, EVENT_LAG_SECS)
