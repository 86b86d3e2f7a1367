"""Administration: for who has the token."""

from __future__ import annotations

from datamill_notifier.openapi import examples
from datamill_notifier.openapi.operations import Answer, Operation, in_query, json_of, ref
from datamill_notifier.openapi.schemas import DATASET_ID, count, many, text
from datamill_notifier.openapi.shared import ID, LIMIT, TIME

_FORCE = in_query("force", text(enum=["0", "1"]), "1: even if it is fetched, or was told just now.")

OPERATIONS = (
    Operation(
        "POST",
        "/admin/datasets/{dataset_id}/pin",
        "pin",
        "Have what a dataset holds never evicted.",
        {200: Answer("It is pinned.", json_of(ref("Pinned")))},
        (404, 409),
        [ID],
        admin=True,
    ),
    Operation(
        "POST",
        "/admin/datasets/{dataset_id}/unpin",
        "unpin",
        "Let what a dataset holds be evicted.",
        {200: Answer("It is not pinned.", json_of(ref("Pinned")))},
        (404, 409),
        [ID],
        admin=True,
    ),
    Operation(
        "POST",
        "/admin/datasets/{dataset_id}/evict",
        "evict",
        "Take a finished dataset out of the store; asking again builds it again.",
        {200: Answer("It is gone.", json_of(ref("Gone")))},
        (400, 404, 409),
        [ID, _FORCE],
        admin=True,
    ),
    Operation(
        "POST",
        "/admin/gc",
        "gc",
        "Bring the store under its budget, and delete files that nobody needs.",
        {200: Answer("What went, and why the others stay.", json_of(ref("Tidied")))},
        (400,),
        [
            in_query("budget", count(), "Bytes that archives may hold; the setting by default."),
            in_query("dry_run", text(enum=["0", "1"]), "1: only say what would go."),
        ],
        admin=True,
    ),
    Operation(
        "POST",
        "/admin/datasets/{dataset_id}/cancel",
        "cancel",
        "Stop the build of a dataset; those who wait are told.",
        {200: Answer("It was stopped.", json_of(ref("Cancelled"), examples.CANCELLED))},
        (404, 409),
        [ID],
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
            in_query("since", TIME, "From this time on: RFC 3339, or seconds since the epoch."),
            in_query("until", TIME, "Before this time."),
            in_query("dataset_id", DATASET_ID, "For this dataset id."),
            in_query("dataset_name", text(), "For datasets of this name."),
            in_query("failed", text(enum=["0", "1"]), "1: of datasets that failed."),
            LIMIT,
        ],
        admin=True,
    ),
)
