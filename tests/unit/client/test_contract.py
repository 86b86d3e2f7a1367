"""The contract under the client: dataset ids, requests, events, topology."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import datamill
from datamill import topology
from datamill.errors import DecodeError, InvalidRequest
from datamill.events import (
    Accepted,
    Event,
    Evicted,
    Failed,
    Planned,
    Progress,
    Ready,
    Reason,
    ShardDone,
    decode_event,
)
from datamill.request import MAX_MESSAGE_BYTES, Request

ID = "ab" * 32

VALID = [
    pytest.param(
        {"dataset_name": "duts", "handler_version": "1.0.0", "dataset_config": {}},
        '{"dataset_config":{},"dataset_name":"duts","handler_version":"1.0.0"}',
        "b9c3fc49ddb46c9d01fdf1dcd2abb985fc8a651998c394d0903e2f2300100bb1",
        id="no options",
    ),
    pytest.param(
        {
            "dataset_name": "duts",
            "handler_version": "1.0.0",
            "dataset_config": {
                "input_attributes": ["image"],
                "batch_size": 100,
                "image_size": [1024, 1024],
                "variations_per_sample": 1,
                "crop_size": [800, 800],
                "random_crop_centered": True,
            },
        },
        '{"dataset_config":{"batch_size":100,"crop_size":[800,800],"image_size":[1024,1024],"input_attributes":["image"],"random_crop_centered":true,"variations_per_sample":1},"dataset_name":"duts","handler_version":"1.0.0"}',
        "2bc19d16dd77da2d030ea8f1e201636cbda255d84ef9686eda2395942cb601b5",
        id="a usual configuration",
    ),
    pytest.param(
        {
            "dataset_name": "duts",
            "handler_version": "1.0.0",
            "dataset_config": {
                "random_crop_centered": True,
                "crop_size": [800, 800],
                "variations_per_sample": 1,
                "image_size": [1024, 1024],
                "batch_size": 100,
                "input_attributes": ["image"],
            },
        },
        '{"dataset_config":{"batch_size":100,"crop_size":[800,800],"image_size":[1024,1024],"input_attributes":["image"],"random_crop_centered":true,"variations_per_sample":1},"dataset_name":"duts","handler_version":"1.0.0"}',
        "2bc19d16dd77da2d030ea8f1e201636cbda255d84ef9686eda2395942cb601b5",
        id="the same with its keys in another order: same id",
    ),
    pytest.param(
        {
            "dataset_name": "duts",
            "handler_version": "1.0.0",
            "dataset_config": {"image_size": [1024.0, 1024]},
        },
        '{"dataset_config":{"image_size":[1024,1024]},"dataset_name":"duts","handler_version":"1.0.0"}',
        "90d6b980a2b6d06bd0ecca02f061fa1265cd5c33cfcde847450c3aef32a49ef3",
        id="1024.0 and 1024 are one number in JSON: same id as the next",
    ),
    pytest.param(
        {
            "dataset_name": "duts",
            "handler_version": "1.0.0",
            "dataset_config": {"image_size": [1024, 1024]},
        },
        '{"dataset_config":{"image_size":[1024,1024]},"dataset_name":"duts","handler_version":"1.0.0"}',
        "90d6b980a2b6d06bd0ecca02f061fa1265cd5c33cfcde847450c3aef32a49ef3",
        id="integers",
    ),
    pytest.param(
        {
            "dataset_name": "coco-clicks",
            "handler_version": "2.1.0rc1",
            "dataset_config": {"categories": ["Bär", "日本"], "min_area": 0.05, "seed": 0},
        },
        '{"dataset_config":{"categories":["Bär","日本"],"min_area":0.05,"seed":0},"dataset_name":"coco-clicks","handler_version":"2.1.0rc1"}',
        "b6e62e71fadb6233504ccc463480c45d647f0a3d3c76ed4686ed87c9eca79c56",
        id="non-ASCII text",
    ),
    pytest.param(
        {"dataset_name": "duts", "handler_version": "1.0.1", "dataset_config": {}},
        '{"dataset_config":{},"dataset_name":"duts","handler_version":"1.0.1"}',
        "32c39df03ad8f0b1de42d6c0cc96a2b82dcffd1b8a96da89c9fa4a4c9d85dac1",
        id="another handler version: another id",
    ),
    pytest.param(
        {
            "dataset_name": "x",
            "handler_version": "1",
            "dataset_config": {"a": {"b": [1e21, 1e-07, -0.0, True, None, ""]}},
        },
        '{"dataset_config":{"a":{"b":[1e+21,1e-7,0,true,null,""]}},"dataset_name":"x","handler_version":"1"}',
        "977e0a84616da998207b1948429f52c4885830aed9f1d3e00083e54345889010",
        id="numbers as RFC 8785 writes them",
    ),
]

INVALID = [
    pytest.param(
        {"dataset_name": "x", "handler_version": "1", "dataset_config": {"a": 9007199254740993}},
        id="an integer that JSON numbers cannot hold exactly",
    ),
    pytest.param(
        {"dataset_name": "../etc", "handler_version": "1", "dataset_config": {}},
        id="path characters in the name",
    ),
    pytest.param(
        {"dataset_name": "DUTS", "handler_version": "1", "dataset_config": {}},
        id="upper case in the name",
    ),
    pytest.param(
        {
            "dataset_name": "duts",
            "handler_version": "git+https://example.org/x@main",
            "dataset_config": {},
        },
        id="a URL as the version",
    ),
    pytest.param(
        {"dataset_name": "duts", "handler_version": "--index-url", "dataset_config": {}},
        id="an option of pip as the version",
    ),
    pytest.param(
        {"dataset_name": "duts", "handler_version": "1", "dataset_config": []},
        id="the configuration is a list",
    ),
    pytest.param(
        {"dataset_name": "duts", "handler_version": "1", "dataset_config": {}, "shell": "rm"},
        id="an unknown field",
    ),
    pytest.param(
        {"dataset_name": "", "handler_version": "1", "dataset_config": {}},
        id="the name is empty",
    ),
    pytest.param(
        {
            "dataset_name": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "handler_version": "1",
            "dataset_config": {},
        },
        id="the name has 65 characters",
    ),
]


@pytest.mark.parametrize(("request_fields", "canonical", "expected"), VALID)
def test_dataset_ids(request_fields: dict[str, Any], canonical: str, expected: str) -> None:
    request = Request.of(**request_fields)
    assert request.canonical.decode() == canonical
    assert request.dataset_id == expected
    assert datamill.dataset_id(*request_fields.values()) == expected
    assert Request.decode(json.dumps(request_fields).encode()).dataset_id == expected


@pytest.mark.parametrize("request_fields", INVALID)
def test_invalid_requests(request_fields: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as caught:
        Request.decode(json.dumps(request_fields).encode())
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "JSON object"),
        (b'{"dataset_name": "x", "handler_version": "1"}', "dataset_config is missing"),
        (b'{"dataset_name": "x", "handler_version": 1, "dataset_config": {}}', "handler_version"),
        (b'{"dataset_name":"x","dataset_name":"y","handler_version":"1"}', "same key twice"),
        (b'{"dataset_name":"x","handler_version":"1","dataset_config":{"a":NaN}}', "NaN"),
        (b"[" * 100_000, "not JSON"),
        (b" " * (MAX_MESSAGE_BYTES + 1), "bytes"),
    ],
)
def test_bodies_that_are_no_request(body: bytes, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        Request.decode(body)


def test_a_refused_request_tells_the_id_that_its_sender_waits_for() -> None:
    body = {"dataset_name": "X", "handler_version": "1", "dataset_config": {}}
    with pytest.raises(DecodeError) as caught:
        Request.decode(json.dumps(body).encode())
    assert caught.value.dataset_id is not None
    assert len(caught.value.dataset_id) == 64


def test_the_size_of_a_config() -> None:
    assert Request.of("x", "1", {"a": "b" * (64 * 1024 - 8)})
    with pytest.raises(InvalidRequest, match="65537 bytes"):
        Request.of("x", "1", {"a": "b" * (64 * 1024 - 7)})


@pytest.mark.parametrize("number", [2**53, float(2**53), -1e20])
def test_a_number_is_refused_however_it_is_spelled(number: float) -> None:
    """Canonical JSON writes all of these as integers that JSON numbers can't hold exactly."""
    with pytest.raises(InvalidRequest, match="exceeds"):
        Request.of("x", "1", {"a": number})


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=5), st.integers(-(2**53) + 1, 2**53 - 1), max_size=4))
def test_key_order_does_not_matter(config: dict[str, int]) -> None:
    turned = dict(reversed(config.items()))
    assert Request.of("x", "1", config).dataset_id == Request.of("x", "1", turned).dataset_id


EVENTS: list[Event] = [
    Accepted(dataset_id=ID, state="queued", waiting=2, ahead=1),
    Planned(dataset_id=ID, content_key=ID, config={"a": [1]}, features=None, records=3, shards=1),
    ShardDone(
        dataset_id=ID, index=0, shards=1, split="train", url="u", bytes=1, sha256=ID, records=3
    ),
    Progress(
        dataset_id=ID,
        shards_done=1,
        shards=2,
        records_done=3,
        records_per_sec=1.5,
        secs_left=None,
    ),
    Ready(
        dataset_id=ID,
        content_key=ID,
        archive="a.zip",
        url="u",
        bytes=1,
        sha256=ID,
        records=3,
        shards=1,
        cached=True,
    ),
    Failed(dataset_id=ID, reason=Reason.BAD_DATA, message="why", retryable=False),
    Evicted(dataset_id=ID, content_key=ID),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event)
def test_events_round_trip(event: Event) -> None:
    assert decode_event(event.encode()) == event
    assert event.routing_key == f"dataset.{event.event}.{ID}"
    assert event.final == (event.event in ("ready", "failed"))
    later = json.loads(event.encode()) | {"a_field_of_tomorrow": 1}
    assert decode_event(json.dumps(later)) == event
    assert event.time.endswith("Z")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"event": "party"}', b'{"event": "ready"}'])
def test_bodies_that_are_no_event(body: bytes) -> None:
    with pytest.raises(DecodeError, match="no event"):
        decode_event(body)


class _Recorder:
    """Takes declarations down."""

    def __init__(self) -> None:
        self.exchanges: dict[str, str] = {}
        self.queues: dict[str, dict[str, Any]] = {}
        self.bindings: set[tuple[str, str, str]] = set()

    def exchange_declare(self, exchange: str, exchange_type: Any, *, durable: bool) -> None:
        assert durable
        self.exchanges[exchange] = exchange_type

    def queue_declare(self, queue: str, *, durable: bool, arguments: dict[str, Any]) -> None:
        assert durable
        self.queues[queue] = arguments

    def queue_bind(self, queue: str, exchange: str, routing_key: str) -> None:
        self.bindings.add((queue, exchange, routing_key))


def test_the_topology_hangs_together() -> None:
    seen = _Recorder()
    topology.declare(seen)
    assert seen.exchanges == {
        "dataset.requests": "topic",
        "dataset.events": "topic",
        "dataset.work": "direct",
        "dataset.dlx": "direct",
    }
    assert all(arguments["x-queue-type"] == "quorum" for arguments in seen.queues.values())
    assert all(name.endswith(".v1") for name in seen.queues)
    for queue, arguments in seen.queues.items():
        if "x-dead-letter-exchange" in arguments:
            target = (arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"])
            assert (topology.DEAD_QUEUE, *target) in seen.bindings
            assert arguments["x-dead-letter-strategy"] == "at-least-once"
            assert arguments["x-overflow"] == "reject-publish"
            assert arguments["x-delivery-limit"] >= 20, queue
    assert "x-max-length" not in seen.queues[topology.DEAD_QUEUE]
    assert topology.request_key("duts") == "dataset.request.duts"
