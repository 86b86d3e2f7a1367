"""Asking for datasets, and hearing what becomes of them."""

from __future__ import annotations

from datamill.client_name import CLIENT_FIELD
from datamill.http_state import REQUEST_ID_FIELD
from datamill_notifier.openapi import examples
from datamill_notifier.openapi.operations import (
    Answer,
    Operation,
    in_header,
    in_query,
    json_of,
    media,
    ref,
)
from datamill_notifier.openapi.schemas import DATASET_ID, many, text

OPERATIONS = (
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
)
