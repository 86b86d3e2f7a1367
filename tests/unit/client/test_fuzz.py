"""Messages that nobody would send on purpose, or somebody would: decoded or refused, in no time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datamill.errors import DecodeError, Flaw
from datamill.events import Failed, Reason, decode_event
from datamill.request import FIELDS, MAX_MESSAGE_BYTES, Request

LIMIT_SECS = 2.0
"""What one message may take of the processor: four times what the worst took alone."""

GOOD = b'{"dataset_name":"toy","handler_version":"1","dataset_config":{"a":[1,2.5,"x",null]}}'
EVENT = Failed(dataset_id="ab" * 32, reason=Reason.TIMEOUT, message="m", retryable=True).encode()

words = st.text(max_size=12) | st.sampled_from(
    ["\udc80", "\0", "\ud83d", "e\u0301", "\u2028", "\n"]
)
numbers = (
    st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.sampled_from([2**53, -(2**53), 1e308, 5e-324, -0.0])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


def as_json(value: Any) -> bytes:
    """JSON as Python writes it, with its constants; surrogates as they are, where they can be."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


@st.composite
def near_requests(draw: st.DrawFn) -> bytes:
    """The three fields, some of them wrong, missing, or beside others."""
    document = {
        "dataset_name": draw(st.just("toy") | values),
        "handler_version": draw(st.just("1.0.0") | values),
        "dataset_config": draw(st.dictionaries(words, values, max_size=4) | values),
    }
    for field in draw(st.sets(st.sampled_from(FIELDS), max_size=1)):
        del document[field]
    document.update(draw(st.dictionaries(words, values, max_size=1)))
    escaped = draw(st.booleans())
    return json.dumps(document).encode() if escaped else as_json(document)


@st.composite
def mutations(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes with some of them replaced, left out, doubled or exchanged."""
    body = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        piece = draw(st.binary(max_size=4) | st.sampled_from(list(TOKENS)))
        body[at : at + draw(st.integers(0, 12))] = piece
    return bytes(body)


TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xff",
    b"[" * 2000, b'{"a":' * 900, b'"dataset_name":"x",', b"\xef\xbb\xbf", b"-0.0", b"\\", b"null",
)  # fmt: skip


def decoded(body: bytes) -> Request | DecodeError:
    """What decoding comes to. Anything else that it raised, or much time, fails the test."""
    began = time.thread_time()
    try:
        outcome: Request | DecodeError = Request.decode(body)
    except DecodeError as error:
        outcome = error
    assert time.thread_time() - began < LIMIT_SECS
    return outcome


def check(body: bytes) -> None:
    outcome = decoded(body)
    if isinstance(outcome, Request):
        again = Request.decode(outcome.encode())
        assert again == outcome and again.dataset_id == outcome.dataset_id
        assert json.loads(outcome.encode()) == outcome.model_dump()
        return
    text = str(outcome)
    assert text.strip() and len(text) <= 1000, "a person can read it"
    assert len(text.splitlines()) == 1, "it is a line of a log"
    assert outcome.body == body
    assert outcome.flaw in (Flaw.TOO_LARGE, Flaw.NOT_JSON, Flaw.NOT_THAT)
    told = outcome.dataset_id
    if told is not None:
        Failed(
            dataset_id=told, reason=Reason.INVALID_REQUEST, message=text, retryable=False
        ).encode()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | values.map(as_json))
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(GOOD.decode().encode("utf-16"))
@example(b"9" * 5000)
def test_any_bytes(body: bytes) -> None:
    check(body)


@settings(max_examples=150, deadline=None)
@given(near_requests())
@example(GOOD.replace(b"2.5", b"9007199254740992.0"))
@example(GOOD.replace(b"2.5", b"1e20"))
@example(GOOD.replace(b"2.5", b"1e21"))
def test_what_is_nearly_a_request(body: bytes) -> None:
    check(body)


@settings(max_examples=200, deadline=None)
@given(mutations(GOOD))
def test_mutations_of_a_request(body: bytes) -> None:
    check(body)


@pytest.mark.long
@settings(max_examples=5_000, deadline=None)
@given(st.binary() | values.map(as_json) | near_requests() | mutations(GOOD))
def test_many_more(body: bytes) -> None:
    check(body)


def _filled(head: bytes, unit: bytes, tail: bytes) -> bytes:
    """As many units as a message may hold."""
    return head + unit * ((MAX_MESSAGE_BYTES - len(head) - len(tail)) // len(unit)) + tail


TOY = b'{"dataset_name":"toy","handler_version":"1","dataset_config":'
LARGE = {
    "brackets": b"[" * MAX_MESSAGE_BYTES,
    "objects": b'{"a":' * (MAX_MESSAGE_BYTES // 5),
    "digits": b"9" * MAX_MESSAGE_BYTES,
    "digits after the point": b"0." + b"9" * (MAX_MESSAGE_BYTES - 2),
    "an exponent": b"1e" + b"9" * (MAX_MESSAGE_BYTES - 2),
    "many numbers": _filled(TOY + b'{"a":[1', b",4299999999", b"]}}"),
    "many floats": _filled(TOY + b'{"a":[1', b",2.2250738585072011e-308", b"]}}"),
    "long integers": _filled(TOY + b'{"a":[1', b"," + b"9" * 4000, b"]}}"),
    "escapes": _filled(TOY + b'{"a":"', rb"\ud83d\ude00", b'"}}'),
    "backslashes": b'"' + b"\\" * (MAX_MESSAGE_BYTES - 1),
    "a long name": _filled(b'{"dataset_name":"', b"a", b'","handler_version":"1"}'),
    "a long version": _filled(b'{"dataset_name":"toy","handler_version":"', b"1.", b'"}'),
    "a long field": _filled(TOY + b'{},"', b"field ", b'":1}'),
    "fields of 300 lines": TOY + b'{},"' + rb"\n" * 300 + b'":1}',
    "many fields": TOY + b"{}" + b"".join(b',"%x":0' % n for n in range(90_000)) + b"}",
    "many options": TOY + b'{"o":0' + b"".join(b',"%x":0' % n for n in range(90_000)) + b"}}",
    "spaces": b" " * MAX_MESSAGE_BYTES,
    "spaces around a request": _filled(GOOD, b" ", b""),
    "one byte too many": b" " * (MAX_MESSAGE_BYTES + 1),
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE.keys())
def test_the_largest_messages_take_no_time(body: bytes) -> None:
    check(body)


# --- events ---


def check_event(body: bytes) -> None:
    began = time.thread_time()
    try:
        event = decode_event(body)
    except DecodeError as error:
        assert "no event" in str(error) and error.body == body
    else:
        assert decode_event(event.encode()) == event
        body.decode()  # it is handed on as text
    assert time.thread_time() - began < LIMIT_SECS


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=100) | values.map(as_json) | mutations(EVENT))
@example(EVENT.replace(b'"m"', rb'"\ud800"'))
@example(EVENT.replace(b'"m"', b'"\xed\xa0\x80"'))
@example(EVENT.replace(b'"m"', b"9" * 5000))
def test_whatever_comes_as_an_event(body: bytes) -> None:
    check_event(body)


@pytest.mark.parametrize("kind", ["accepted", "planned", "shard", "progress", "ready", "evicted"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_fields_of_any_type(kind: str, data: st.DataObject) -> None:
    names = st.sampled_from(
        ["dataset_id", "time", "state", "waiting", "ahead", "content_key", "config", "features",
         "records", "shards", "index", "split", "url", "bytes", "sha256", "archive", "cached"]
    )  # fmt: skip
    document = data.draw(st.dictionaries(names, values, max_size=17))
    check_event(as_json(document | {"event": kind}))
