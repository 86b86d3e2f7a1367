"""Looking at the service, and at one dataset or two, closer than states do."""

from __future__ import annotations

from datamill_notifier.openapi.operations import Answer, Operation, json_of, ref
from datamill_notifier.openapi.schemas import ANY_OF_TWO
from datamill_notifier.openapi.shared import ID

_AS_OF_NOW = ("Cache-Control",)

OPERATIONS = (
    Operation(
        "GET",
        "/overview",
        "overview",
        "The service as a whole: what is built, what waits and why, what came of it, who works.",
        {
            200: Answer(
                "As of now; totals may be some seconds old.", json_of(ref("Overview")), _AS_OF_NOW
            )
        },
    ),
    Operation(
        "GET",
        "/savings",
        "savings",
        "What sharing saved, in all.",
        {200: Answer("Totals; they may be some seconds old.", json_of(ref("Saving")), _AS_OF_NOW)},
    ),
    Operation(
        "GET",
        "/datasets/{dataset_id}/details",
        "details",
        "Everything about one dataset: its state, options, provenance, splits, use, links.",
        {200: Answer("As of now.", json_of(ref("Details")), _AS_OF_NOW)},
        (404,),
        [ID],
    ),
    Operation(
        "POST",
        "/compare",
        "compare",
        "Why two requests are not one dataset: which option, version or raw data differs.",
        {200: Answer("What differs.", json_of(ref("Comparison")), _AS_OF_NOW)},
        (400, 404, 413),
        body={"schema": ANY_OF_TWO, "example": {"a": "ab" * 32, "b": "cd" * 32}},
    ),
    Operation(
        "POST",
        "/near",
        "near",
        "The finished dataset that differs least from a request.",
        {200: Answer("It, or null.", json_of(ref("NearAnswer")), _AS_OF_NOW)},
        (400, 413),
        body={"schema": ref("Request")},
    ),
)
