"""TFRecord files and Examples, read without TensorFlow."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamill.errors import RecordError
from datamill.example import decode_example, decode_feature
from datamill.records import (
    RecordFile,
    count_records,
    masked_crc32c,
    read_records,
    record_ends,
)
from tests.support.archives import example, tfrecords


def test_the_masked_checksum() -> None:
    """CRC-32C of 32 zero bytes is 0x8a9136aa: RFC 3720, B.4; masked by TensorFlow's formula."""
    rotated = ((0x8A9136AA >> 15) | (0x8A9136AA << 17)) & 0xFFFFFFFF
    assert masked_crc32c(bytes(32)) == (rotated + 0xA282EAD8) & 0xFFFFFFFF


@pytest.mark.parametrize("payloads", [[], [b""], [b"a", b"", b"bc" * 100_000]])
def test_what_was_written_is_read(tmp_path: Path, payloads: list[bytes]) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfrecords(payloads))
    assert list(read_records(path)) == payloads
    assert count_records(path) == len(payloads)


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    good = tfrecords([b"first", b"second"])
    path = tmp_path / "x.tfrecord"
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(RecordError, match=f"byte {0 if position < 21 else 21}"):
            count_records(path)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    good = tfrecords([b"first", b"second"])
    path = tmp_path / "x.tfrecord"
    for length in range(1, len(good)):
        path.write_bytes(good[:length])
        if length == 21:
            assert count_records(path) == 1
            continue
        with pytest.raises(RecordError, match=r"x\.tfrecord"):
            count_records(path)


def test_a_length_that_would_fill_the_memory(tmp_path: Path) -> None:
    import struct

    head = struct.pack("<Q", 2**62)
    path = tmp_path / "x.tfrecord"
    path.write_bytes(head + struct.pack("<I", masked_crc32c(head)) + bytes(100))
    with pytest.raises(RecordError, match="no TFRecord file"):
        count_records(path)


_VALUES = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1),
    st.lists(st.binary(), min_size=1),
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(st.characters(categories=["L"]), min_size=1), _VALUES))
def test_any_example(features: dict[str, list[int] | list[float] | list[bytes]]) -> None:
    decoded = decode_example(example(**features))
    assert decoded == features
    assert list(decoded) == sorted(features)


def test_what_is_no_example() -> None:
    with pytest.raises(RecordError, match=r"no tf\.train\.Example"):
        decode_example(b"\xff\xff")


PAYLOADS = [b"first", b"", b"third" * 1000]


def by_numbers(path: Path) -> list[bytes]:
    file, ends = RecordFile(path), [0, *record_ends(path)]
    return [file.payload(begin, end) for begin, end in itertools.pairwise(ends)][::-1]


def test_records_are_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfrecords(PAYLOADS))
    assert by_numbers(path) == PAYLOADS[::-1]
    path.write_bytes(b"")
    assert list(record_ends(path)) == []


def test_damage_and_cuts_are_noticed_in_any_order(tmp_path: Path) -> None:
    good = tfrecords([b"first", b"second"])
    path = tmp_path / "x.tfrecord"
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(RecordError, match=f"byte {0 if position < 21 else 21}"):
            by_numbers(path)
    for size in {*range(1, len(good))} - {21}:
        path.write_bytes(good[:size])
        with pytest.raises(RecordError, match="cut short"):
            by_numbers(path)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfrecords(PAYLOADS))
    file, ends = RecordFile(path), record_ends(path)
    path.write_bytes(tfrecords(PAYLOADS[:1]))
    with pytest.raises(RecordError, match=f"byte {ends[1]} has no end"):
        file.payload(ends[1], ends[2])


def test_one_feature_of_a_record() -> None:
    record = example(label=[3, 1], image=b"large", share=0.5)
    assert decode_feature(record, "label") == [3, 1]
    assert decode_feature(record, "image") == [b"large"]
    assert decode_feature(record, "share") == [0.5]
    assert decode_feature(record, "other") == []
    with pytest.raises(RecordError, match=r"no tf\.train\.Example"):
        decode_feature(b"\xff", "label")
