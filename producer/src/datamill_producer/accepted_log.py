"""Which accepted requests to replay: the catalog's log, over the notifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from datamill.request import Request
from datamill_producer.gateway import MAX_LIST, Document, Gateway, Parameters

_TICK_SECS = 0.001
"""The log's times are cut to milliseconds."""


@dataclass(frozen=True)
class Selection:
    """Requests of these ids (all if empty), accepted in `since` ≤ time < `until`, and so on."""

    dataset_ids: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    dataset_name: str | None = None
    failed: bool = False

    def parameters(self) -> Iterator[dict[str, str | int | float | None]]:
        """Yield the questions to ask the notifier."""
        for dataset_id in self.dataset_ids or (None,):
            yield {
                "dataset_id": dataset_id,
                "since": self.since,
                "until": self.until,
                "dataset_name": self.dataset_name,
                "failed": 1 if self.failed else None,
            }


def selected(gateway: Gateway, selection: Selection) -> list[Request]:
    """Return the distinct requests that were selected, those asked for first at the front."""
    entries = [entry for asked in selection.parameters() for entry in _entries(gateway, asked)]
    entries.sort(key=lambda entry: str(entry["accepted_at"]))
    requests = {entry["dataset_id"]: entry for entry in entries}
    return [
        Request.of(entry["dataset_name"], entry["handler_version"], entry["dataset_config"])
        for entry in requests.values()
    ]


def _entries(gateway: Gateway, asked: Parameters) -> list[Document]:
    """Return all entries that match, page by page from the newest."""
    found: dict[tuple[str, str], Document] = {}
    until = asked["until"]
    while True:
        page = gateway.accepted_requests({**asked, "until": until, "limit": MAX_LIST})
        # One message id may stand for requests for several datasets: that is its sender's.
        named = {(entry["message_id"], entry["dataset_id"]): entry for entry in page}
        fresh = named.keys() - found.keys()
        found |= named
        if len(page) < MAX_LIST or not fresh:
            return list(found.values())
        oldest = datetime.fromisoformat(page[0]["accepted_at"]).timestamp()
        # Entries of the same millisecond may be on both pages; they are counted once.
        until = oldest + _TICK_SECS
