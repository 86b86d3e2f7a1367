"""`Range` as RFC 9110, section 14, has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamill_notifier.ranges import ByteRange, Unsatisfiable, parse_range

SIZE = 1000
WHOLE = None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        # 14.1.2, the examples there (of 10,000 bytes) brought down to 1,000
        ("bytes=0-499", ByteRange(0, 500)),
        ("bytes=500-999", ByteRange(500, 500)),
        ("bytes=-500", ByteRange(500, 500)),
        ("bytes=950-", ByteRange(950, 50)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=999-", ByteRange(999, 1)),
        ("bytes=-1", ByteRange(999, 1)),
        ("bytes=-5", ByteRange(995, 5)),
        ("bytes=5-", ByteRange(5, 995)),
        # what reaches beyond the end is cut
        ("bytes=990-5000", ByteRange(990, 10)),
        ("bytes=0-" + "9" * 30, ByteRange(0, 1000)),
        ("bytes=-5000", ByteRange(0, 1000)),
        # the unit's name knows no case; white space and empty elements belong to a list
        ("BYTES=1-2", ByteRange(1, 2)),
        ("bytes= 1-2 ", ByteRange(1, 2)),
        ("bytes=,1-2,,", ByteRange(1, 2)),
        ("bytes=007-008", ByteRange(7, 2)),
        # ignored: malformed, another unit, several ranges
        ("bytes=9-3", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=", WHOLE),
        ("bytes", WHOLE),
        ("", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=1", WHOLE),
        ("bytes=1-2-3", WHOLE),
        ("bytes=--5", WHOLE),
        ("bytes=+1-2", WHOLE),
        ("bytes=1.0-2", WHOLE),
        ("bytes=0x1-2", WHOLE),
        ("bytes=\u0661-\u0662", WHOLE),
        ("bytes=1 -2", WHOLE),
        ("bytes = 1-2", WHOLE),
        ("bytes=" + "9" * 5000 + "-", WHOLE),
        ("items=0-5", WHOLE),
        ("bytes=0-0,-1", WHOLE),
        ("bytes=0-1\n", WHOLE),
    ],
)
def test_what_a_field_asks_for(field: str, expected: ByteRange | None) -> None:
    assert parse_range(field, SIZE) == expected


@pytest.mark.parametrize(
    "field", ["bytes=1000-", "bytes=1000-1001", "bytes=" + "9" * 30 + "-", "bytes=-0"]
)
def test_what_lies_outside_can_not_be_satisfied(field: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(field, SIZE)


def test_nothing_has_no_part() -> None:
    assert parse_range("bytes=-5", 0) is None
    for field in ("bytes=0-", "bytes=0-0", "bytes=-0"):
        with pytest.raises(Unsatisfiable):
            parse_range(field, 0)


def test_content_range_counts_both_ends() -> None:
    assert ByteRange(0, 1).content_range(1000) == "bytes 0-0/1000"
    assert ByteRange(500, 500).content_range(1000) == "bytes 500-999/1000"


@given(first=st.integers(0, 200), last=st.integers(0, 200), size=st.integers(1, 150))
def test_a_range_is_the_slice_that_it_says(first: int, last: int, size: int) -> None:
    content = bytes(range(size))
    try:
        part = parse_range(f"bytes={first}-{last}", size)
    except Unsatisfiable:
        assert first >= size
        return
    if part is None:
        assert last < first
    else:
        assert content[part.start : part.start + part.length] == content[first : last + 1]


@given(length=st.integers(0, 200), size=st.integers(1, 150))
def test_a_suffix_is_the_end(length: int, size: int) -> None:
    content = bytes(range(size))
    try:
        part = parse_range(f"bytes=-{length}", size)
    except Unsatisfiable:
        assert length == 0
        return
    assert part is not None
    assert content[part.start :] == content[-length:]
    assert part.start + part.length == size


@given(
    field=st.text(max_size=40) | st.text("bytes=0123456789-, \t", max_size=40),
    size=st.integers(0, 100),
)
def test_whatever_is_sent_the_part_lies_within(field: str, size: int) -> None:
    try:
        part = parse_range(field, size)
    except Unsatisfiable:
        return
    if part is not None:
        assert 0 <= part.start < size
        assert 0 < part.length <= size - part.start
