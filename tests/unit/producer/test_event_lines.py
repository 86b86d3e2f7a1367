from __future__ import annotations

import pytest

from datamill.events import (
    Accepted,
    Event,
    Evicted,
    Failed,
    Planned,
    Progress,
    Ready,
    Reason,
    ShardDone,
)
from datamill_producer.event_lines import line

ID = "ab" * 32
URL = "http://h/datasets/a.zip"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Accepted(dataset_id=ID, state="queued", waiting=2, ahead=1), "queued, 2 waiting, 1 ahead"),
        (Planned(dataset_id=ID, content_key="k", config={}, features=None, records=9, shards=3),
         "planned, 9 records in 3 shards"),
        (ShardDone(dataset_id=ID, index=0, shards=3, split="train", url=URL, bytes=1, sha256="",
                   records=4), "shard 1 of 3, 4 records"),
        (ShardDone(dataset_id=ID, index=0, shards=3, split="train", url=URL, bytes=1, sha256="",
                   records=4, skipped=2), "shard 1 of 3, 4 records, 2 skipped"),
        (Progress(dataset_id=ID, shards_done=1, shards=3, records_done=4, records_per_sec=2.4,
                  secs_left=None), "1 of 3 shards, 4 records, 2/s"),
        (Progress(dataset_id=ID, shards_done=1, shards=3, records_done=4, records_per_sec=2.4,
                  secs_left=90.2), "1 of 3 shards, 4 records, 2/s, 90 s left"),
        (Ready(dataset_id=ID, content_key="k", archive="a.zip", url=URL, bytes=2000, sha256="",
               records=9, shards=3, cached=True), f"ready, 9 records, 2.0 kB, {URL}"),
        (Failed(dataset_id=ID, reason=Reason.BAD_DATA, message="no images", retryable=False),
         "failed, bad_data: no images"),
        (Evicted(dataset_id=ID, content_key="k"),
         "evicted: removed from the store; ask again for it"),
    ],
    ids=lambda value: value.event if hasattr(value, "event") else "",
)  # fmt: skip
def test_every_event_is_a_line(event: Event, said: str) -> None:
    _clock, dataset_id, rest = line(event).split(" ", 2)
    assert (dataset_id, rest) == (ID[:12], said)
