"""Looking at the service, and at one dataset or two, closer than states do."""

from __future__ import annotations

from datamill_notifier.openapi.operations import Answer, Operation, in_path, json_of, ref
from datamill_notifier.openapi.schemas import ANY_OF_TWO, text
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
        "GET",
        "/ids/{prefix}",
        "ids",
        "What an abbreviated id may stand for: dataset ids and content keys that begin so.",
        {200: Answer("At most 100 of each.", json_of(ref("Ids")), _AS_OF_NOW)},
        (400,),
        [in_path("prefix", text(pattern="^[0-9a-f]{1,64}$"), "The first characters.")],
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
