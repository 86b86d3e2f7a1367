"""What `datamill up` makes of a notifier's answer to /readyz."""

from __future__ import annotations

import json

import pytest

from datamill_producer.up.readiness import can_serve

FINE = {"ready": False, "catalog": True, "store": True, "broker": True, "disk": True}


def test_a_full_disk_keeps_no_service_from_starting() -> None:
    assert can_serve(json.dumps(FINE | {"disk": False, "reason": "full"}).encode())


@pytest.mark.parametrize(
    "said",
    [
        json.dumps(FINE | {"broker": False}),
        json.dumps(FINE | {"broker": False, "disk": False}),
        json.dumps(FINE),
        "{}",
        "[]",
        "",
        "<html>",
    ],
)
def test_what_lacks_something_else_is_waited_for(said: str) -> None:
    assert not can_serve(said.encode())
