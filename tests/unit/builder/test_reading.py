"""Reading an archive: one flipped byte is found, and which part it is in."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamill_builder.inspection import reading
from datamill_builder.inspection.reading import Part, read_archive


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def parts_of(body: bytes, cuts: list[int]) -> list[Part]:
    """Return every other stretch between some places as a part."""
    places = sorted({min(cut, len(body)) for cut in cuts})
    stretches = list(pairwise(places))[::2]
    return [Part(n, b, e, sha256(body[b:e])) for n, (b, e) in enumerate(stretches)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading") / "archive"


@given(
    body=st.binary(min_size=1, max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=12),
    at=st.integers(0, 299),
)
def test_a_flipped_byte_is_found_in_its_part(
    file: Path, body: bytes, cuts: list[int], at: int
) -> None:
    parts = parts_of(body, cuts)
    file.write_bytes(body)
    whole = read_archive(file, parts)
    assert (whole.sha256, whole.bytes, whole.damaged) == (sha256(body), len(body), [])
    at %= len(body)
    file.write_bytes(body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :])
    found = read_archive(file, parts)
    assert found.sha256 != whole.sha256
    assert found.damaged == [part.number for part in parts if part.begin <= at < part.end]


@given(body=st.binary(min_size=1, max_size=300), left=st.integers(0, 299))
def test_what_is_cut_off_is_missed(file: Path, body: bytes, left: int) -> None:
    parts = parts_of(body, [0, len(body) // 2, len(body) // 2, len(body)])
    left %= len(body)
    file.write_bytes(body[:left])
    found = read_archive(file, parts)
    assert found.sha256 == sha256(body[:left])
    assert found.bytes == left
    assert found.damaged == [part.number for part in parts if part.end > left]


def test_what_the_disk_cannot_read_is_damaged_and_the_rest_is_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = bytes(range(100))
    file.write_bytes(body)
    parts = [Part(n, b, b + 20, sha256(body[b : b + 20])) for n, b in enumerate((10, 40, 70))]
    read = reading._chunks

    def failing(opened: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
        yield from read(opened, begin, begin + 5)
        if begin == 40:
            raise OSError(errno.EIO, "Input/output error")
        yield from read(opened, begin + 5, end)

    monkeypatch.setattr(reading, "_chunks", failing)
    found = read_archive(file, parts)
    assert (found.sha256, found.bytes, found.damaged) == ("", 85, [1])


def test_who_is_told_how_far_it_is_can_end_it(file: Path) -> None:
    file.write_bytes(b"x" * 10)

    class Enough(Exception):
        pass

    def enough(count: int) -> None:
        assert count == 10
        raise Enough

    with pytest.raises(Enough):
        read_archive(file, (), enough)
