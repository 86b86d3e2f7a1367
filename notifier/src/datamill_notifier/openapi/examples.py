"""What the description shows: one dataset, from the request to the archive."""

from __future__ import annotations

from datamill.events import Progress, Ready
from datamill.request import Request

_URL = "http://data.example:8080"
_TIME = "2026-01-31T12:00:00.000Z"
_REQUEST = Request.of("duts", "1.0.0", {"image_size": [1024, 1024]})
_ID = _REQUEST.dataset_id
_KEY = "4f1c" * 16
_ARCHIVE = f"duts_1.0.0_{_KEY}.zip"
_READY = Ready(
    time=_TIME,
    dataset_id=_ID,
    content_key=_KEY,
    archive=_ARCHIVE,
    url=f"{_URL}/datasets/{_ARCHIVE}",
    bytes=812_345_678,
    sha256="9b0e" * 16,
    records=10_553,
    shards=16,
    cached=True,
)
_PROGRESS = Progress(
    time=_TIME,
    dataset_id=_ID,
    shards_done=4,
    shards=16,
    records_done=2640,
    records_per_sec=610.5,
    secs_left=13.0,
)

REQUEST = _REQUEST.model_dump(mode="json")
TAKEN = {
    "dataset_id": _ID,
    "url": f"{_URL}/datasets/{_ID}",
    "message_id": "0d9ac3f0-6d5e-4b0c-a3f8-6f2c2b8e8a51",
    "near": None,
}
EVENT_STREAM = (
    "retry: 2000\nid: 63a1c0de\n\n"
    f"id: 1f6a7c52\nevent: progress\ndata: {_PROGRESS.model_dump_json()}\n\n"
    ": still here\n\n"
    f"id: 90b1d2aa\nevent: ready\ndata: {_READY.model_dump_json()}\n\n"
)
_SUMMARY = {
    "dataset_id": _ID,
    **REQUEST,
    "state": "ready",
    "content_key": _KEY,
    "archive": _ARCHIVE,
    "bytes": _READY.bytes,
    "records": _READY.records,
    "shards": _READY.shards,
    "shards_done": _READY.shards,
    "records_done": _READY.records,
    "waiting": 0,
    "ahead": 0,
    "requests": 7,
    "created_at": _TIME,
    "ended_at": _TIME,
}
LISTED = _SUMMARY | {
    "downloads": 2,
    "downloaded_bytes": 1624691356,
    "used_at": _TIME,
    "pinned_at": None,
}
STATE = _SUMMARY | {
    "note": None,
    "waiting_clients": [],
    "progress": None,
    "ready": _READY.model_dump(mode="json"),
    "failed": None,
    "planned": None,
    "near": None,
    "usage": {
        "requests": 4,
        "builds": 1,
        "build_secs": 1843.2,
        "saved_secs": 5529.6,
        "sent_bytes": 1624691356,
        "saved_bytes": 812345678,
        "downloads": 2,
        "last_used_at": _TIME,
    },
    "shard_list": [],
}
READINESS = {"ready": True, "catalog": True, "store": True, "broker": True, "disk": True}
CANCELLED = {"dataset_id": _ID, "state": "cancelled"}
LOGGED_REQUEST = {
    "message_id": TAKEN["message_id"],
    "accepted_at": _TIME,
    "dataset_id": _ID,
    **REQUEST,
    "state": "ready",
    "client": "ada@gpu7",
}
