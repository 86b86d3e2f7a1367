"""Conditional requests as RFC 9110, section 13, has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamill_notifier.preconditions import Answer, Outcome, evaluate
from datamill_notifier.ranges import ByteRange

ETAG = '"abc"'
SIZE = 100
WHOLE = Answer(Outcome.WHOLE)
PART = Answer(Outcome.PART, ByteRange(0, 10))
FAILED = Answer(Outcome.PRECONDITION_FAILED)
NOT_MODIFIED = Answer(Outcome.NOT_MODIFIED)
UNSATISFIABLE = Answer(Outcome.UNSATISFIABLE)


def answer(method: str = "GET", **fields: str) -> Answer:
    named = {name.replace("_", "-").title(): value for name, value in fields.items()}
    return evaluate(method, named, ETAG, SIZE)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('"abc"', WHOLE),
        ('"x", "abc"', WHOLE),
        (' "x" ,"abc" ', WHOLE),
        ("*", WHOLE),
        ('"x"', FAILED),
        ('"x", "y"', FAILED),
        ('W/"abc"', FAILED),  # strong comparison
        ("abc", FAILED),
        ("", FAILED),
        ('"abc', FAILED),
        ('junk"abc"', FAILED),
        ('"ABC"', FAILED),
    ],
)
def test_if_match(field: str, expected: Answer) -> None:
    assert answer(if_match=field) == expected
    assert answer("HEAD", if_match=field) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('"abc"', NOT_MODIFIED),
        ('W/"abc"', NOT_MODIFIED),  # weak comparison
        ('"x", W/"abc"', NOT_MODIFIED),
        ("*", NOT_MODIFIED),
        ('"x"', WHOLE),
        ("abc", WHOLE),
        ('"a,bc"', WHOLE),
        ('"x,", "abc"', NOT_MODIFIED),  # a comma inside a tag parts nothing
    ],
)
def test_if_none_match(field: str, expected: Answer) -> None:
    assert answer(if_none_match=field) == expected
    assert answer("HEAD", if_none_match=field) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (ETAG, PART),
        (' "abc" ', PART),
        ('"other"', WHOLE),
        ('W/"abc"', WHOLE),  # strong comparison
        ("Wed, 21 Oct 2026 07:28:00 GMT", WHOLE),  # there is no date to compare it with
        ('"abc", "x"', WHOLE),  # one tag, no list
        ("*", WHOLE),
        ("", WHOLE),
    ],
)
def test_if_range(field: str, expected: Answer) -> None:
    assert answer(if_range=field, range="bytes=0-9") == expected


def test_if_range_that_fails_also_hides_what_can_not_be_satisfied() -> None:
    assert answer(if_range='"other"', range="bytes=5000-") == WHOLE
    assert answer(if_range=ETAG, range="bytes=5000-") == UNSATISFIABLE


def test_if_range_alone_says_nothing() -> None:
    assert answer(if_range='"other"') == WHOLE


def test_order() -> None:
    """If-Match, If-None-Match, If-Range: the first that decides does."""
    assert answer(if_match='"x"', if_none_match=ETAG, range="bytes=0-9") == FAILED
    assert answer(if_match=ETAG, if_none_match=ETAG, range="bytes=0-9") == NOT_MODIFIED
    assert answer(if_match='"x"', range="bytes=5000-") == FAILED
    assert answer(if_none_match=ETAG, range="bytes=5000-") == NOT_MODIFIED
    assert answer(if_match=ETAG, if_none_match='"x"', if_range=ETAG, range="bytes=0-9") == PART


def test_dates_are_ignored() -> None:
    long_ago = "Thu, 01 Jan 1970 00:00:00 GMT"
    assert answer(if_modified_since=long_ago, if_unmodified_since=long_ago) == WHOLE


def test_head_knows_no_ranges() -> None:
    assert answer("HEAD", range="bytes=0-9") == WHOLE
    assert answer("HEAD", range="bytes=5000-") == WHOLE


TAGS = st.sampled_from(['"abc"', 'W/"abc"', '"x"', 'W/"y"', '""'])


@given(tags=st.lists(TAGS, min_size=1, max_size=5), glue=st.sampled_from([",", ", ", " , ", ",,"]))
def test_lists_match_as_their_members_do(tags: list[str], glue: str) -> None:
    field = glue.join(tags)
    assert (answer(if_match=field) == WHOLE) == ('"abc"' in tags)
    assert (answer(if_none_match=field) == NOT_MODIFIED) == ('"abc"' in tags or 'W/"abc"' in tags)


@given(field=st.text(max_size=60) | st.text('W/"abc, \t', max_size=60))
def test_whatever_is_sent_is_answered(field: str) -> None:
    for name in ("if_match", "if_none_match", "if_range"):
        answer(**{name: field}, range="bytes=0-9")


def test_a_long_list_takes_no_time() -> None:
    assert answer(if_none_match='W/"' * 2000 + ", " * 4000) == WHOLE
