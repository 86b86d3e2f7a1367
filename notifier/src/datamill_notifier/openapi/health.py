"""The service itself: whether it works, its numbers, its description."""

from __future__ import annotations

from datamill_notifier.openapi import examples
from datamill_notifier.openapi.operations import Answer, Operation, json_of, media, ref
from datamill_notifier.openapi.schemas import text

OPERATIONS = (
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
)
