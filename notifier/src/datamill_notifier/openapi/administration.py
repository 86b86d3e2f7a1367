"""Administration: for who has the token."""

from __future__ import annotations

from datamill_notifier.openapi import examples
from datamill_notifier.openapi.operations import Answer, Operation, in_query, json_of, ref
from datamill_notifier.openapi.schemas import DATASET_ID, many, text
from datamill_notifier.openapi.shared import ID, LIMIT, TIME

OPERATIONS = (
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
