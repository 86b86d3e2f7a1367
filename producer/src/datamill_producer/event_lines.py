"""Events as lines that people read."""

from __future__ import annotations

from datamill.events import (
    Accepted,
    Event,
    Evicted,
    Failed,
    Planned,
    Progress,
    Ready,
    ShardDone,
)
from datamill.table import size
from datamill_producer.moment import local_clock

_SHOWN_OF_ID = 12


def line(event: Event) -> str:
    """Return `12:01:02 5a57948d… ready  …`."""
    return f"{local_clock(event.time)} {event.dataset_id[:_SHOWN_OF_ID]} {_said(event)}"


def _said(event: Event) -> str:
    match event:
        case Accepted(state=state, waiting=waiting, ahead=ahead):
            return f"{state}, {waiting} waiting, {ahead} ahead"
        case Planned(records=records, shards=shards):
            return f"planned, {records} records in {shards} shards"
        case ShardDone(index=index, shards=shards, records=records, skipped=skipped):
            lacks = f", {skipped} skipped" if skipped else ""
            return f"shard {index + 1} of {shards}, {records} records{lacks}"
        case Progress():
            return _progress(event)
        case Ready(records=records, url=url):
            return f"ready, {records} records, {size(event.bytes)}, {url}"
        case Failed(reason=reason, message=message):
            return f"failed, {reason}: {message}"
        case Evicted():
            return "evicted: removed from the store; ask again for it"


def _progress(event: Progress) -> str:
    left = "" if event.secs_left is None else f", {event.secs_left:.0f} s left"
    return (
        f"{event.shards_done} of {event.shards} shards, {event.records_done} records, "
        f"{event.records_per_sec:.0f}/s{left}"
    )
