import os
import resource
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.sdk import tfrecord
from dataset_handlers.sdk.tfrecord import TFRecordWriter, first_record, masked_crc

# What tf.io.TFRecordWriter of TensorFlow 2.21 wrote for b"datamill" and b"".
BY_TENSORFLOW = bytes.fromhex(
    "0800000000000000ff86240f646174616d696c6c320b4089000000000000000029039807d8ea82a2"
)


def test_the_bytes_are_those_of_tensorflow(tmp_path):
    path = tmp_path / "two.tfrecord"
    with TFRecordWriter(path) as writer:
        writer.write(b"datamill")
        writer.write(b"")
    assert path.read_bytes() == BY_TENSORFLOW


@settings(max_examples=25, deadline=None)
@given(records=st.lists(st.binary(max_size=300), max_size=8))
def test_what_is_said_of_the_file_is_true(records, tmp_path_factory):
    path = tmp_path_factory.mktemp("shard") / "some.tfrecord"
    with TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    data = path.read_bytes()
    assert (writer.size_bytes, writer.records) == (len(data), len(records))


def test_what_the_disk_takes_in_pieces_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "a"
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda file, parts: writev(file, [parts[0], parts[1][:3]]))
    with TFRecordWriter(path) as writer:
        writer.write(b"datamill")
        writer.write(b"")
    assert path.read_bytes() == BY_TENSORFLOW


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(st.binary(max_size=9), max_size=8),
    most=st.integers(1, 4),
    short=st.integers(1, 30),
)
def test_parts_are_written_as_one_record(parts, most, short, tmp_path_factory):
    """Whatever the disk takes at once; views as well as bytes."""
    folder = tmp_path_factory.mktemp("shard")
    with TFRecordWriter(folder / "whole") as writer:
        writer.write(b"".join(parts))
    writev = os.writev

    def writes_less(file, parts):
        return writev(file, [b"".join(parts)[:short]])

    views = [memoryview(bytearray(part)) for part in parts]
    for given_parts in (parts, views):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tfrecord, "_PARTS_AT_ONCE", most)
            patch.setattr(os, "writev", writes_less)
            with TFRecordWriter(folder / "parts") as writer:
                writer.write(*given_parts)
        assert (folder / "parts").read_bytes() == (folder / "whole").read_bytes()
        assert writer.size_bytes == (folder / "whole").stat().st_size
        assert writer.records == 1


def test_a_record_of_more_parts_than_linux_writes_at_once(tmp_path):
    parts = [b"%d" % number for number in range(3000)]
    for name, given_parts in (("parts", parts), ("whole", [b"".join(parts)])):
        with TFRecordWriter(tmp_path / name) as writer:
            writer.write(*given_parts)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_full_disk_is_an_error(tmp_path):
    _, hard_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard_limit))
    try:
        with pytest.raises(OSError), TFRecordWriter(tmp_path / "a") as writer:
            writer.write(b"x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard_limit, hard_limit))


def test_going_back_leaves_no_trace(tmp_path):
    with TFRecordWriter(tmp_path / "a") as writer:
        writer.write(b"datamill")
        before = writer.mark()
        writer.write(b"x" * 100_000)
        writer.write(b"y")
        writer.back_to(before)
        writer.write(b"")
    assert (tmp_path / "a").read_bytes() == BY_TENSORFLOW
    assert (writer.records, writer.size_bytes) == (2, len(BY_TENSORFLOW))


def test_an_error_goes_through(tmp_path):
    with pytest.raises(KeyError), TFRecordWriter(tmp_path / "a"):
        raise KeyError


def test_masked_crc_of_a_length():
    (expected,) = struct.unpack_from("<I", BY_TENSORFLOW, 8)
    assert masked_crc(struct.pack("<Q", 8)) == expected


def test_the_first_record(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(BY_TENSORFLOW)
    assert first_record(path) == b"datamill"
    path.write_bytes(b"")
    assert first_record(path) is None
