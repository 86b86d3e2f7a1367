import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.annotations import large_json
from dataset_handlers.annotations.large_json import BrokenJsonError, elements

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def read(data: bytes) -> list[tuple]:
    return [tuple(element) for element in elements(io.BytesIO(data))]


@pytest.fixture(params=[1, 7, 2**22], ids="pieces of {} bytes".format)
def pieces(request, monkeypatch):
    monkeypatch.setattr(large_json, "_PIECE_BYTES", request.param)


@settings(max_examples=150, deadline=None)
@given(
    document=st.dictionaries(st.text(), values, max_size=4),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    piece=st.sampled_from([1, 5, 2**22]),
)
def test_what_json_reads_element_by_element(document, indent, ascii_only, piece):
    try:
        data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return  # half of a surrogate pair is no UTF-8
    kept, large_json._PIECE_BYTES = large_json._PIECE_BYTES, piece
    try:
        found = read(data)
    finally:
        large_json._PIECE_BYTES = kept
    expected = [
        (name, value)
        for name, array in document.items()
        if isinstance(array, list)
        for value in array
    ]
    assert [(name, value) for name, value, _, _ in found] == expected
    for _, value, start, length in found:
        assert json.loads(data[start : start + length]) == value


@pytest.mark.usefixtures("pieces")
def test_bytes_of_an_element_where_characters_have_several():
    data = '\ufeff{"é": [{"name": "狐狸 \\u00e9"}, 12], "z": 3}'.encode()
    (_, fox, start, length), (_, number, at, digits) = read(data)
    assert fox == {"name": "狐狸 é"}
    assert data[start : start + length].decode() == '{"name": "狐狸 \\u00e9"}'
    assert (number, data[at : at + digits]) == (12, b"12")


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is no JSON object"),
        (b"[1]", "it is no JSON object"),
        (b"{", "cut off at byte 1"),
        (b'{"a"', "cut off at byte 4"),
        (b'{"a": [1, {"b": 2}', "cut off at byte 18"),
        (b'{"a": [1, {"b": ', "cut off at byte 16"),
        (b'{"a": [1]', "cut off at byte 9"),
        (b'{"a": [1] "b": 2}', "at byte 10: , is expected"),
        (b'{"a": [1 2]}', "at byte 9: , is expected"),
        (b'{"a": [1,]}', "at byte 9: an element is expected"),
        (b'{"a" [1]}', "at byte 5: : is expected"),
        (b"{1: [1]}", "at byte 2: a name is expected"),
        (b'{"a": [{"b": x}]}', "at byte 13: Expecting value"),
        (b'{"a": [1]} {}', "at byte 11: more follows after its end"),
        (b'{"a": ["\xff"]}', "it is not UTF-8"),
        (b'{"a": [' + b"9" * 5000 + b"]}", "integer string conversion"),
        (b'{"a": ' + b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_broken_is_said_with_its_place(data, message):
    with pytest.raises(BrokenJsonError) as caught:
        read(data)
    assert message in str(caught.value)


def test_a_broken_element_is_not_waited_for_through_the_whole_file(monkeypatch):
    monkeypatch.setattr(large_json, "_PIECE_BYTES", 100)
    monkeypatch.setattr(large_json, "_LARGEST_ELEMENT_BYTES", 1000)
    file = io.BytesIO(b'{"a": [{x' + b" " * 100_000 + b"]}")
    with pytest.raises(BrokenJsonError, match="at byte 8"):
        list(elements(file))
    assert file.tell() < 5000
