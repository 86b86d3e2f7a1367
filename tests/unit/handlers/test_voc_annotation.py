"""Annotations as they should be, and as strangers write them."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.voc_annotation import MAX_ANNOTATION_BYTES, parse_annotation
from tests.unit.handlers.voc_raw import annotation_xml, object_xml

DOG = object_xml("dog", 1, 2, 30, 40)


def test_what_it_says():
    annotation = parse_annotation(annotation_xml([DOG, object_xml("cat", 5, 6, 7, 8)], (60, 90)))
    assert annotation.size == (60, 90)
    assert annotation.objects == [("dog", (2, 1, 40, 30)), ("cat", (6, 5, 8, 7))]


def test_no_objects():
    assert parse_annotation(annotation_xml([], (60, 90))).objects == []


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width>0</width><height>9</height></size>"])
def test_a_size_may_be_missing_or_0(size):
    annotation = parse_annotation(f"<annotation>{size}{DOG}</annotation>".encode())
    assert annotation.size is None


def test_fractions_of_a_pixel():
    (dog,) = parse_annotation(annotation_xml([object_xml("dog", "1.5", 2, "3.25", 4)])).objects
    assert dog.box == (2, 1.5, 4, 3.25)


def test_parts_of_an_object_do_not_count():
    head = "<part><name>head</name><bndbox><xmin>7</xmin></bndbox></part>"
    (dog,) = parse_annotation(annotation_xml([DOG.replace("<bndbox>", f"{head}<bndbox>")])).objects
    assert dog == ("dog", (2, 1, 40, 30))


@pytest.mark.parametrize(
    ("declared", "codec"),
    [("UTF-8", "utf-8-sig"), ("UTF-16", "utf-16"), ("ISO-8859-1", "latin-1"), ("cp1252", "cp1252")],
)
def test_encodings(declared, codec):
    xml = annotation_xml([object_xml("föhre", 1, 2, 3, 4)]).decode()
    data = f'<?xml version="1.0" encoding="{declared}"?>{xml}'.encode(codec)
    assert parse_annotation(data).objects[0].name == "föhre"


def reason(data: bytes) -> str:
    with pytest.raises(BadItemError) as caught:
        parse_annotation(data)
    (line,) = str(caught.value).splitlines()
    return line


def of_object(text: str) -> str:
    return reason(annotation_xml([DOG, text]))


def test_broken_objects():
    assert of_object(object_xml(" ", 1, 2, 3, 4)) == "object 2 has no name"
    assert of_object(object_xml("x" * 999, 1, 2, 3, 4)) == (
        f"object 2 has a name that is none: {'x' * 39}…"
    )
    cat = object_xml("cat", 1, 2, 30, 40)
    assert of_object("<object><name>cat</name></object>") == "object 2 (cat) has no ymin"
    assert of_object(cat.replace("xmax", "xmux")) == "object 2 (cat) has no xmax"
    assert of_object(object_xml("cat", 50, 2, 30, 40)) == (
        "object 2 (cat) has xmin 50, which is more than its xmax 30"
    )
    assert of_object(object_xml("cat", 1, 50, 30, 40)) == (
        "object 2 (cat) has ymin 50, which is more than its ymax 40"
    )


@pytest.mark.parametrize(
    "number", ["", "abc", "nan", "inf", "1e3", "1_0", "٣", "0x10", "9" * 8, "1.", "- 1", "1 2"]
)
def test_numbers_that_are_none(number):
    assert of_object(object_xml("cat", 1, 2, number, 40)) == (
        f"xmax of object 2 (cat) is {number!r}, no number of pixels"
    )
    width = f"<size><width>{number or '?'}</width><height>9</height></size>"
    assert "its width is" in reason(f"<annotation>{width}</annotation>".encode())


@pytest.mark.parametrize("size", [(-3, 9), (2.5, 9)])
def test_sizes_that_are_none(size):
    assert reason(annotation_xml([DOG], size)) == (
        f"it is of a picture of [{size[0]:g}, {size[1]:g}], which is no size"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not XML",
        b"\x00\x01",
        annotation_xml([DOG])[:80],
        annotation_xml([DOG]) + b"<more/>",
        annotation_xml([DOG]).replace(b"dog", b"d&og"),
        annotation_xml([DOG]).replace(b"dog", b"d&dog;g"),
        annotation_xml([DOG]).replace(b"dog", b"d\xffg"),
    ],
)
def test_no_xml(data):
    assert reason(data).startswith("it is no XML that can be read, from line 1 on")


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "utf-7", "big5", "hex", "idna"])
def test_encodings_that_are_not_read(encoding):
    data = f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + annotation_xml([DOG])
    assert reason(data) == "the encoding that it says it has is not read"


@pytest.mark.parametrize(
    "data", [b"<html><body/></html>", b"<annotations><annotation/></annotations>"]
)
def test_other_xml(data):
    assert reason(data) == "it holds no <annotation>"


def test_entities_are_not_expanded():
    lines = ['<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)]
    laughs = f"<!DOCTYPE annotation [{''.join(lines)}]>{annotation_xml([DOG]).decode()}"
    data = laughs.replace("dog", "&a9;").encode()
    tracemalloc.start()
    assert reason(data) == "it declares an entity, a0, which no annotation needs"
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "declared",
    ['<!ENTITY x SYSTEM "file:///etc/passwd">', '<!ENTITY % x SYSTEM "http://localhost/x"> %x;'],
)
def test_nothing_is_fetched(declared):
    data = f"<!DOCTYPE annotation [{declared}]>".encode() + annotation_xml([DOG])
    assert reason(data) == "it declares an entity, x, which no annotation needs"


def test_a_document_type_alone_does_no_harm():
    data = b'<!DOCTYPE annotation SYSTEM "http://localhost/none.dtd">' + annotation_xml([DOG])
    assert parse_annotation(data).objects[0].name == "dog"


def test_deep_nesting_ends_soon():
    deep = b"<annotation>" + b"<a>" * (MAX_ANNOTATION_BYTES // 4)
    assert reason(deep) == "its elements are nested deeper than 32"


@given(data=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_whatever_is_in_it_a_reason_is_one_line(data):
    assert reason(data)


@given(
    at=st.integers(0, len(annotation_xml([DOG], (60, 90))) - 1),
    byte=st.binary(min_size=1, max_size=1),
)
def test_a_wrong_byte_is_read_or_refused(at, byte):
    whole = annotation_xml([DOG], (60, 90))
    changed = whole[:at] + byte + whole[at + 1 :]
    try:
        annotation = parse_annotation(changed)
    except BadItemError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert len(annotation.objects) <= 1
