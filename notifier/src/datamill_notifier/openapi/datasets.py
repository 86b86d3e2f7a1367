"""Datasets: their states, and their files."""

from __future__ import annotations

from collections.abc import Mapping

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
from datamill_notifier.openapi.schemas import count, many, text
from datamill_notifier.openapi.shared import ID, LIMIT

_FIELDS = ("ETag", "Repr-Digest", "Accept-Ranges", "Cache-Control")
_PROBLEMS = (404, 412, 416, 503)
_CONDITIONS = tuple(
    in_header(name, f"RFC 9110, section {section}.")
    for name, section in (
        ("Range", "14.2: one range of bytes"),
        ("If-Range", "13.1.5: the ETag"),
        ("If-Match", "13.1.1"),
        ("If-None-Match", "13.1.2"),
    )
)


def _file(
    media_type: str, says: str, also: Mapping[str, Document] | None = None
) -> dict[int, Answer]:
    """Return the answers of a file that is served with ranges and validators."""
    content = media(media_type, text("Bytes, as they are."))
    return {
        200: Answer(says, {**content, **(also or {})}, _FIELDS),
        206: Answer("The part of it that was asked for.", content, (*_FIELDS, "Content-Range")),
        304: Answer("It is what `If-None-Match` names.", headers=_FIELDS),
    }


OPERATIONS = (
    Operation(
        "GET",
        "/datasets",
        "datasets",
        "Datasets that were asked for, newest first.",
        {
            200: Answer(
                "Some of them.",
                json_of(many(ref("Summary")), [examples.LISTED]),
                ("Cache-Control",),
            )
        },
        (400,),
        [
            in_query("state", text(enum=[state.value for state in PublicState]), "In this state."),
            in_query("name", text(), "Of this name."),
            LIMIT,
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
            json_of(ref("State"), examples.STATE),
        ),
        _PROBLEMS,
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
        _PROBLEMS,
        [ID, *_CONDITIONS],
    ),
    Operation(
        "GET",
        "/datasets/{dataset_id}/preview.jpg",
        "preview",
        "A contact sheet of records.",
        _file("image/jpeg", "A picture."),
        _PROBLEMS,
        [ID, *_CONDITIONS],
    ),
    Operation(
        "GET",
        "/datasets/{dataset_id}/shards/{index}",
        "shard",
        "One shard, while the others are built and after.",
        _file("application/octet-stream", "A TFRecord file."),
        _PROBLEMS,
        [ID, in_path("index", count(), "From 0."), *_CONDITIONS],
    ),
)
