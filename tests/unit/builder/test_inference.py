"""What the records of a classic handler hold, told from the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datamill_builder.inference import infer_features
from tests.unit.builder.records import example, picture, write_records


def infer(tmp_path: Path, *payloads: bytes) -> Any:
    found = infer_features([write_records(tmp_path / "records", list(payloads))])
    return found and found["featuresDict"]["features"]


def test_scalars_vectors_and_sequences(tmp_path: Path) -> None:
    features = infer(
        tmp_path,
        example(number=[1], share=[0.5], box=[1.0, 2.0], words=[1]),
        example(number=[-2], share=[1.5], box=[3.0, 4.0], words=[1, 2, 3]),
    )
    assert list(features) == ["box", "number", "share", "words"]
    assert features["number"]["tensor"]["dtype"] == "int64"
    assert features["share"]["tensor"]["dtype"] == "float32"
    assert features["box"]["tensor"]["shape"] == {"dimensions": ["2"]}
    assert features["words"]["sequence"]["feature"]["tensor"]["dtype"] == "int64"


def test_text_is_text(tmp_path: Path) -> None:
    features = infer(tmp_path, example(text=[b"one"]), example(text=[b"\xff\xd8\xffno picture"]))
    assert features["text"]["pythonClassName"].endswith(".Text")


@pytest.mark.parametrize(
    ("kind", "mode", "encoding", "depth", "dtype"),
    [
        ("JPEG", "RGB", "jpeg", "3", "uint8"),
        ("JPEG", "L", "jpeg", "1", "uint8"),
        ("PNG", "RGB", "png", "3", "uint8"),
        ("PNG", "RGBA", "png", "4", "uint8"),
        ("PNG", "1", "png", "1", "uint8"),
        ("PNG", "I;16", "png", "1", "uint16"),
    ],
)
def test_pictures_are_pictures(
    tmp_path: Path, kind: str, mode: str, encoding: str, depth: str, dtype: str
) -> None:
    image = infer(tmp_path, example(image=[picture(kind, mode)]))["image"]["image"]
    assert image["encodingFormat"] == encoding
    assert image["shape"]["dimensions"] == ["-1", "-1", depth]
    assert image["dtype"] == dtype


def test_two_encodings_in_one_feature_are_no_picture_feature(tmp_path: Path) -> None:
    features = infer(tmp_path, example(image=[picture("PNG")]), example(image=[picture("JPEG")]))
    assert features["image"]["pythonClassName"].endswith(".Text")


@pytest.mark.parametrize(
    "payloads",
    [
        [],
        [b"\xff\xff\xff no example"],
        [example(a=[1]), example(b=[1])],
        [example(a=[1]), example(a=[b"text"])],
        [example(a=[b"\x89PNG\r\n\x1a\n"]), example(a=[1])],
        [example()],
    ],
    ids=["nothing", "no example", "other names", "other kinds", "picture or number", "no features"],
)
def test_what_can_not_be_told_is_not_told(tmp_path: Path, payloads: list[bytes]) -> None:
    assert infer(tmp_path, *payloads) is None


def test_a_feature_may_be_empty(tmp_path: Path) -> None:
    features = infer(tmp_path, example(a=[]), example(a=[1, 2]))
    assert features["a"]["sequence"]["feature"]["tensor"]["dtype"] == "int64"
