"""The contact sheet: it shows what is in the records, and never gets in the way of a build."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datamill_builder.preview import contact_sheet
from tests.unit.builder.records import Values, example, picture, write_records

RED, GREEN = (220, 20, 20), (20, 220, 20)
IMAGE: dict[str, Any] = {"image": {}}


def features(*names: str) -> dict[str, Any]:
    return {"featuresDict": {"features": dict.fromkeys(names, IMAGE)}}


def sheet(
    tmp_path: Path,
    *records: dict[str, Values],
    names: tuple[str, ...] = ("image",),
    labels: dict[str, list[str]] | None = None,
) -> Image.Image:
    path = write_records(tmp_path / "records", [example(**record) for record in records])
    shown = Image.open(io.BytesIO(contact_sheet([path], features(*names), labels or {})))
    assert shown.format == "JPEG"
    return shown.convert("RGB")


def share_of(image: Image.Image, colour: tuple[int, int, int]) -> float:
    pixels = image.reduce(4).tobytes()
    close = sum(
        all(abs(pixels[at + channel] - colour[channel]) < 40 for channel in range(3))
        for at in range(0, len(pixels), 3)
    )
    return close / (len(pixels) // 3)


def test_pictures_are_shown_in_their_colours(tmp_path: Path) -> None:
    image = sheet(
        tmp_path,
        {"image": [picture("PNG", fill=RED)]},
        {"image": [picture("JPEG", size=(400, 300), fill=GREEN)]},
    )
    assert share_of(image, RED) > 0.05 and share_of(image, GREEN) > 0.05


def test_masks_stand_beside_their_pictures(tmp_path: Path) -> None:
    record: dict[str, Values] = {
        "image": [picture("JPEG", size=(64, 64), fill=RED)],
        "mask": [picture("PNG", "L", (64, 64), 255)],
    }
    image = sheet(tmp_path, record, names=("mask", "image"))
    red = image.crop((0, 0, 182, 182))
    white = image.crop((182, 0, 364, 182))
    assert share_of(red, RED) > 0.8, "the picture comes first"
    assert share_of(white, (255, 255, 255)) > 0.8


@pytest.mark.parametrize(
    ("mode", "fill"), [("1", 1), ("L", 255), ("I;16", 65535), ("I;16", 300), ("P", 0)]
)
def test_masks_of_every_depth_are_shown(tmp_path: Path, mode: str, fill: int) -> None:
    mask = Image.new(mode, (64, 64), fill)
    if mode == "P":
        mask.putpalette([255, 255, 255])
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    image = sheet(tmp_path, {"mask": [buffer.getvalue()]}, names=("mask",))
    assert share_of(image, (255, 255, 255)) > 0.05


def broken_pictures() -> list[bytes]:
    generator = random.Random(5)
    broken = [b"", b"no picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\0" * 100]
    for whole in (picture("PNG", size=(30, 30)), picture("JPEG", size=(30, 30))):
        broken += [whole[:length] for length in range(9, len(whole), 12)]
        for _ in range(60):
            body = bytearray(whole)
            for _ in range(generator.randrange(1, 6)):
                body[generator.randrange(8, len(body))] = generator.randrange(256)
            broken.append(bytes(body))
    return broken


def test_a_broken_picture_gets_in_nobodys_way(tmp_path: Path) -> None:
    good: dict[str, Values] = {"image": [picture("PNG", fill=GREEN)]}
    broken = broken_pictures()
    for start in range(0, len(broken), 23):
        records: list[dict[str, Values]] = [
            {"image": [body]} for body in broken[start : start + 23]
        ]
        assert share_of_first(sheet(tmp_path, good, *records)) > 0.8


def share_of_first(image: Image.Image) -> float:
    return share_of(image.crop((6, 6, 182, 182)), GREEN)


def test_a_huge_picture_is_not_decoded(tmp_path: Path) -> None:
    bomb = bytearray(picture("PNG"))
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    sheet(tmp_path, {"image": [bytes(bomb)]})


@pytest.mark.parametrize(
    "record",
    [{"image": [5]}, {"image": [0.5]}, {"image": []}, {"other": [b"x"]}, {}],
    ids=["number", "float", "empty", "missing", "nothing"],
)
def test_records_that_are_not_what_they_say(tmp_path: Path, record: dict[str, Values]) -> None:
    sheet(tmp_path, record, {"image": [picture()]})


def test_no_records_are_an_empty_sheet(tmp_path: Path) -> None:
    sheet(tmp_path)


def test_what_is_no_example_is_not_shown(tmp_path: Path) -> None:
    path = write_records(tmp_path / "records", [b"\xff\xff no example"])
    assert contact_sheet([path], None, {})
    path.write_bytes(b"no record file at all")
    assert contact_sheet([path], None, {})


@pytest.mark.parametrize(
    "label", ["ants", "two\nlines", "\N{CAT FACE} \N{CJK UNIFIED IDEOGRAPH-732B}", "", "long " * 90]
)
def test_every_label_can_be_written(tmp_path: Path, label: str) -> None:
    record: dict[str, Values] = {"image": [picture()], "label": [0], "score": [0.5]}
    sheet(tmp_path, record, labels={"label": [label]})


@pytest.mark.parametrize("value", [[1], [-1], [7], [0.0], [float("nan")]])
def test_a_label_without_a_name_is_a_number(tmp_path: Path, value: Values) -> None:
    sheet(tmp_path, {"image": [picture()], "label": value}, labels={"label": ["ants", "bees"]})


def test_many_records_make_a_sheet_of_bounded_size(tmp_path: Path) -> None:
    record: dict[str, Values] = {"image": [picture()]}
    image = sheet(tmp_path, *[record] * 100)
    assert image.width <= 1600 and image.height <= 1600
