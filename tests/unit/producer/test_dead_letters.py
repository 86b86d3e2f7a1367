"""What a dead letter says of itself, and choosing among several."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from datamill import topology
from datamill.errors import Flaw, InvalidRequest, NothingFound
from datamill_producer.dead_letters import DeadLetter, chosen

GOOD = {"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {}}
LETTER = DeadLetter(
    tag=1,
    message_id="0f0f0f0f-1",
    died_at=datetime(2026, 1, 31, tzinfo=UTC),
    queue=topology.REQUESTS_QUEUE,
    exchange=topology.REQUESTS_EXCHANGE,
    routing_key="dataset.request.toy",
    death="rejected",
    headers={},
    body=json.dumps(GOOD).encode(),
    number=1,
)


def test_a_good_request_has_no_problem() -> None:
    assert LETTER.problem is None
    assert LETTER.reason == "rejected; there is nothing wrong with the message itself"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\xff", "is not JSON"),
        (b"{}", "dataset_name is missing"),
        (json.dumps(GOOD | {"extra": 1}).encode(), "extra is not a field"),
        (b" " * (1024 * 1024 + 1), "allowed are"),
    ],
)
def test_a_bad_request_says_why(body: bytes, said: str) -> None:
    problem = replace(LETTER, body=body).problem
    assert problem is not None
    assert said in problem


@pytest.mark.parametrize(
    ("letter", "flaw"),
    [
        (LETTER, None),
        (replace(LETTER, body=b"\xff"), Flaw.NOT_JSON),
        (replace(LETTER, body=b"{}"), Flaw.NOT_THAT),
        (replace(LETTER, body=b" " * (1024 * 1024 + 1)), Flaw.TOO_LARGE),
        (replace(LETTER, routing_key="dataset.request.other"), Flaw.WRONG_KEY),
    ],
)
def test_the_flaw_is_a_word(letter: DeadLetter, flaw: Flaw | None) -> None:
    assert letter.document()["flaw"] == flaw
    assert (letter.problem is None) == (flaw is None)


def test_only_requests_are_decoded() -> None:
    assert replace(LETTER, queue=topology.SHARDS_QUEUE, body=b"anything").problem is None


def test_without_an_origin_it_can_not_go_back() -> None:
    assert replace(LETTER, exchange=None).problem == "it does not say where it came from"


def test_it_begins_with_200_characters_whatever_they_are() -> None:
    assert replace(LETTER, body="ä".encode() * 500).beginning == "ä" * 200
    assert replace(LETTER, body=b"\xff" * 500).beginning == "\N{REPLACEMENT CHARACTER}" * 200
    document = replace(LETTER, body=b"\xff").document()
    assert json.loads(json.dumps(document)) == document


def letters(*ids: str | None) -> list[DeadLetter]:
    return [
        replace(LETTER, tag=number, number=number, message_id=message_id)
        for number, message_id in enumerate(ids, 1)
    ]


def test_choosing() -> None:
    three = letters("aaaaaa11", "aaaaaa22", None)
    assert chosen(three, ["2", "aaaaaa11", "2", "3"]) == [three[1], three[0], three[2]]
    assert chosen(three, ["aaaaaa2"]) == [three[1]]
    with pytest.raises(InvalidRequest, match="means 2"):
        chosen(three, ["aaaaaa"])
    for missing in ("4", "0", "aaa", "bbbbbb"):
        with pytest.raises(NothingFound, match="dead list"):
            chosen(three, [missing])


def test_a_message_id_of_digits() -> None:
    (letter,) = letters("1234567")
    assert chosen([letter], ["1234567"]) == [letter]
    assert chosen([letter], ["123456"]) == [letter]
