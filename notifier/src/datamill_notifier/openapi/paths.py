"""Every route, in one table: a new one gets a line here, and a test says so if it has none.

Pages for people, and what they load, are described nowhere: see `PAGES`.
"""

from __future__ import annotations

from typing import Any

from datamill.client_name import CLIENT_FIELD
from datamill.http_state import REQUEST_ID_FIELD
from datamill_builder.catalog.views import PublicState
from datamill_notifier.openapi import examples
from datamill_notifier.openapi.operations import (
    Answer,
    Document,
    Operation,
    in_header,
    in_path,
    in_query,
    json_of,
    media,
    ref,
)
from datamill_notifier.openapi.schemas import DATASET_ID, count, many, text
from datamill_notifier.parameters import MAX_LIMIT

PAGES = ("datamill_notifier.page_routes", "datamill_notifier.live.routes")
"""Modules whose routes are no interface for programs: pages, their styles and scripts."""

_BYTES = text("Bytes, as they are.")
_ID = in_path("dataset_id", DATASET_ID, "The dataset id.")
_LIMIT = in_query(
    "limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, "So many at most."
)
_TIME: Document = {"type": "string", "examples": ["2026-01-31T12:00:00Z", "1769860800"]}
_FILE_FIELDS = ("ETag", "Repr-Digest", "Accept-Ranges", "Cache-Control")
_CONDITIONS = tuple(
    in_header(name, f"RFC 9110, section {section}.")
    for name, section in (
        ("Range", "14.2: one range of bytes"),
        ("If-Range", "13.1.5: the ETag"),
        ("If-Match", "13.1.1"),
        ("If-None-Match", "13.1.2"),
    )
)


def _file(media_type: str, says: str, **json_too: Any) -> dict[int, Answer]:
    """Return the answers of a file that is served with ranges and validators."""
    content = media(media_type, _BYTES)
    part = (*_FILE_FIELDS, "Content-Range")
    return {
        200: Answer(says, {**content, **json_too}, _FILE_FIELDS),
        206: Answer("The part of it that was asked for.", content, part),
        304: Answer("It is what `If-None-Match` names.", headers=_FILE_FIELDS),
    }


_FILE_PROBLEMS = (404, 412, 416, 503)

OPERATIONS: tuple[Operation, ...] = (
    # --- asking ---
    Operation(
        "POST",
        "/requests",
        "request",
        "Ask for a dataset; asking is idempotent, and costs nothing where it is there.",
        {202: Answer("The broker has it.", json_of(ref("Taken"), examples.TAKEN), ("Location",))},
        (400, 403, 413, 503),
        [
            in_header(CLIENT_FIELD, "Who asks, as a name for people: 128 characters at most."),
            in_header(
                REQUEST_ID_FIELD,
                "What the client calls this request, 8 to 128 characters: asked again under the "
                "same name it counts once.",
            ),
        ],
        body={"schema": ref("Request"), "example": examples.REQUEST},
    ),
    Operation(
        "GET",
        "/events",
        "events",
        "What happens to datasets, as it happens; first, where they stand, or what was missed.",
        {
            200: Answer(
                "Server-sent events (WHATWG HTML, section 9.2): `event` is the kind, `data` an "
                "`Event` in JSON, `id` what to come back with. Comments come every 5 s.",
                media("text/event-stream", text("Frames."), examples.EVENT_STREAM),
            ),
            101: Answer(
                "A WebSocket (RFC 6455), where the request asks for one: each message is an "
                "`Event` in JSON. What a client says is not read."
            ),
        },
        (400, 403),
        [
            {
                **in_query("dataset", many(DATASET_ID, maxItems=1000), "Of these; else of all."),
                "explode": True,
            },
            in_query(
                "secs",
                {"type": "number", "minimum": 0, "maximum": 86400},
                "The stream ends after so long: for proxies that hold back what has not ended.",
            ),
            in_header(
                "Last-Event-ID",
                "The `id` of the last event: what came since is told first, if it is remembered "
                "(about the last 1,000 events); else where the datasets stand.",
            ),
            in_header("Upgrade", "`websocket`, for a WebSocket."),
        ],
        head=False,
    ),
    # --- datasets ---
    Operation(
        "GET",
        "/datasets",
        "datasets",
        "Datasets that were asked for, newest first.",
        {
            200: Answer(
                "Some of them.",
                json_of(many(ref("Summary")), [examples.SUMMARY]),
                ("Cache-Control",),
            )
        },
        (400,),
        [
            in_query("state", text(enum=[state.value for state in PublicState]), "In this state."),
            in_query("name", text(), "Of this name."),
            _LIMIT,
        ],
    ),
    Operation(
        "GET",
        "/datasets/{name}",
        "dataset",
        "The state of a dataset id; or an archive, by its file name.",
        _file(
            "application/zip",
            "The state, or the archive: a zip of TFRecord files, its ETag the SHA-256.",
            **json_of(ref("State"), examples.STATE),
        ),
        _FILE_PROBLEMS,
        [
            in_path("name", text(), "A dataset id, or an archive's name as `ready` tells it."),
            *_CONDITIONS,
        ],
    ),
    Operation(
        "GET",
        "/datasets/{dataset_id}/manifest.json",
        "manifest",
        "What the archive holds and what it was made from.",
        _file("application/json", "The archive's `manifest.json`."),
        _FILE_PROBLEMS,
        [_ID, *_CONDITIONS],
    ),
    Operation(
        "GET",
        "/datasets/{dataset_id}/preview.jpg",
        "preview",
        "A contact sheet of records.",
        _file("image/jpeg", "A picture."),
        _FILE_PROBLEMS,
        [_ID, *_CONDITIONS],
    ),
    Operation(
        "GET",
        "/datasets/{dataset_id}/shards/{index}",
        "shard",
        "One shard, while the others are built and after.",
        _file("application/octet-stream", "A TFRecord file."),
        _FILE_PROBLEMS,
        [_ID, in_path("index", count(), "From 0."), *_CONDITIONS],
    ),
    # --- the service ---
    Operation(
        "GET",
        "/healthz",
        "health",
        "Whether it is alive.",
        {200: Answer("It is.", json_of(ref("Health"), {"alive": True}))},
    ),
    Operation(
        "GET",
        "/readyz",
        "readiness",
        "Whether it can serve, and builders can build.",
        {
            200: Answer("Every part works.", json_of(ref("Readiness"), examples.READINESS)),
            503: Answer("A part does not.", json_of(ref("Readiness"))),
        },
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "Numbers for Prometheus.",
        {200: Answer("Its text format.", media("text/plain", text("One sample a line.")))},
    ),
    Operation(
        "GET",
        "/openapi.json",
        "openapi",
        "This description.",
        {200: Answer("OpenAPI 3.1.", json_of({"type": "object"}))},
    ),
    # --- administration ---
    Operation(
        "POST",
        "/admin/datasets/{dataset_id}/cancel",
        "cancel",
        "Stop the build of a dataset; those who wait are told.",
        {200: Answer("It was stopped.", json_of(ref("Cancelled"), examples.CANCELLED))},
        (404, 409),
        [_ID],
        admin=True,
    ),
    Operation(
        "GET",
        "/admin/requests",
        "requests",
        "Accepted requests in full: the newest that match, newest last.",
        {200: Answer("Some.", json_of(many(ref("LoggedRequest")), [examples.LOGGED_REQUEST]))},
        (400,),
        [
            in_query("since", _TIME, "From this time on: RFC 3339, or seconds since the epoch."),
            in_query("until", _TIME, "Before this time."),
            in_query("dataset_id", DATASET_ID, "For this dataset id."),
            in_query("dataset_name", text(), "For datasets of this name."),
            in_query("failed", text(enum=["0", "1"]), "1: of datasets that failed."),
            _LIMIT,
        ],
        admin=True,
    ),
)
