"""The contact sheet: it shows what is in the records, and never gets in the way of a build."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamill_builder.preview import _caption, contact_sheet
from tests.unit.builder.records import Values, example, picture, write_records

RED, GREEN = (220, 20, 20), (20, 220, 20)
IMAGE: dict[str, Any] = {"image": {}}


BOX: dict[str, Any] = {"boundingBox": {}}
SEQUENCE_OF_IMAGES: dict[str, Any] = {"sequence": {"feature": IMAGE, "length": "-1"}}
SEQUENCE_OF_BOXES: dict[str, Any] = {"sequence": {"feature": BOX, "length": "-1"}}
YELLOW, BLUE = (255, 214, 10), (50, 215, 255)


def tensor(*shape: int, dtype: str = "float32") -> dict[str, Any]:
    return {"tensor": {"dtype": dtype, "shape": {"dimensions": [str(side) for side in shape]}}}


def features(*names: str, **others: dict[str, Any]) -> dict[str, Any]:
    return {"featuresDict": {"features": dict.fromkeys(names, IMAGE) | others}}


def sheet(
    tmp_path: Path,
    *records: dict[str, Values],
    names: tuple[str, ...] = ("image",),
    labels: dict[str, list[str]] | None = None,
    **others: dict[str, Any],
) -> Image.Image:
    path = write_records(tmp_path / "records", [example(**record) for record in records])
    shown = Image.open(io.BytesIO(contact_sheet([path], features(*names, **others), labels or {})))
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


def cell(image: Image.Image, number: int) -> Image.Image:
    """The square of one picture of the first record."""
    return image.crop((6 + 176 * number, 6, 6 + 176 * (number + 1), 182))


def grey_at(image: Image.Image, across: int, down: int) -> int:
    pixel = image.getpixel((across, down))
    assert isinstance(pixel, tuple) and max(pixel) - min(pixel) < 12
    return int(pixel[0])


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (-1, 2), (-1, 2, 1)])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_tensor_is_shown_from_its_minimum_to_its_maximum(
    tmp_path: Path, shape: tuple[int, ...], scale: float
) -> None:
    values = [-1.0 * scale, 0.0, 1.0 * scale, 3.0 * scale]
    image = cell(sheet(tmp_path, {"depth": values}, names=(), depth=tensor(*shape)), 0)
    shades = [grey_at(image, *at) for at in ((44, 44), (132, 44), (44, 132), (132, 132))]
    assert shades == pytest.approx([0, 64, 128, 255], abs=5)


def test_a_tensor_of_three_channels_is_shown_in_colour(tmp_path: Path) -> None:
    values = [2.0, -1.0, -1.0, -1.0, 2.0, -1.0]
    image = sheet(tmp_path, {"image": values}, names=(), image=tensor(1, 2, 3))
    left, right = cell(image, 0).crop((4, 50, 80, 126)), cell(image, 0).crop((96, 50, 172, 126))
    assert share_of(left, (255, 0, 0)) > 0.9 and share_of(right, (0, 255, 0)) > 0.9


@pytest.mark.parametrize("height", [50, 176, 1000])
def test_a_large_tensor_is_shown_whole(tmp_path: Path, height: int) -> None:
    values = [float(row < height // 2) for row in range(height) for _ in range(height)]
    image = cell(sheet(tmp_path, {"map": values}, names=(), map=tensor(height, height)), 0)
    assert share_of(image.crop((0, 0, 176, 86)), (255, 255, 255)) > 0.95
    assert share_of(image.crop((0, 90, 176, 176)), (0, 0, 0)) > 0.95


def test_what_is_no_number_is_black(tmp_path: Path) -> None:
    values = [float("nan"), 5.0, float("inf"), 9.0, float("-inf"), 7.0]
    image = cell(sheet(tmp_path, {"depth": values}, names=(), depth=tensor(3, 2)), 0)
    shades = [grey_at(image, across, down) for down in (29, 88, 146) for across in (59, 117)]
    assert shades == pytest.approx([0, 0, 255, 255, 0, 128], abs=5)


@pytest.mark.parametrize("value", [0.0, -7.5, float("nan"), float("inf")])
def test_an_even_tensor_is_grey(tmp_path: Path, value: float) -> None:
    image = sheet(tmp_path, {"depth": [value] * 4}, names=(), depth=tensor(2, 2))
    assert share_of(cell(image, 0), (128, 128, 128)) > 0.9


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 7, [1, 2, 3, 4], [b"four"] * 4], ids=str)
def test_a_tensor_that_is_not_what_it_says(tmp_path: Path, values: Values) -> None:
    record: dict[str, Values] = {"image": [picture("PNG", fill=GREEN)], "depth": values}
    for shape in ((2, 2), (-1, 2), (0, 0), (-1, 0)):
        assert share_of_first(sheet(tmp_path, record, depth=tensor(*shape))) > 0.8


@pytest.mark.parametrize(
    "feature",
    [tensor(), tensor(4), tensor(2, 2, 2), tensor(1, 1, 2, 2), tensor(2, 2, dtype="int64")],
)
def test_other_tensors_are_not_shown(tmp_path: Path, feature: dict[str, Any]) -> None:
    record: dict[str, Values] = {"image": [picture("PNG", fill=GREEN)], "other": [1.0] * 4}
    image = sheet(tmp_path, record, other=feature)
    assert image.width == 176 * 8 + 9 * 6


def test_the_first_of_a_sequence_are_shown(tmp_path: Path) -> None:
    masks: Values = [picture("PNG", "L", fill=shade) for shade in (80, 160, 240, 255, 255)]
    few: Values = [picture("PNG", "L", fill=200)]
    records: list[dict[str, Values]] = [
        {"image": [picture("PNG", fill=RED)], "masks": few},
        {"image": [picture("PNG", fill=GREEN)], "masks": masks},
        {"image": [picture("PNG", fill=GREEN)], "masks": []},
    ]
    image = sheet(tmp_path, *records, masks=SEQUENCE_OF_IMAGES)
    assert image.width == 2 * (4 * 176 + 6) + 6, "four pictures for each record, two in a line"
    first, second = image, image.crop((4 * 176 + 6, 0, image.width, image.height))
    assert share_of(cell(first, 0), RED) > 0.9
    assert share_of(cell(first, 1), (200, 200, 200)) > 0.9
    assert share_of(cell(first, 2), (28, 28, 30)) > 0.9
    assert share_of(cell(second, 0), GREEN) > 0.9
    for number, shade in enumerate((80, 160, 240), start=1):
        assert share_of(cell(second, number), (shade,) * 3) > 0.9


def edge_of(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what has about this colour."""
    found = [
        (down, across)
        for down in range(image.height)
        for across in range(image.width)
        if all(
            abs(value - wanted) < 90
            for value, wanted in zip(image.getpixel((across, down)), colour, strict=True)  # type: ignore[arg-type]
        )
    ]
    downs, acrosses = [down for down, _ in found], [across for _, across in found]
    return min(downs), min(acrosses), max(downs), max(acrosses)


@pytest.mark.parametrize("feature", [BOX, SEQUENCE_OF_BOXES])
def test_boxes_are_drawn_onto_the_picture(tmp_path: Path, feature: dict[str, Any]) -> None:
    record: dict[str, Values] = {
        "image": [picture("JPEG", size=(400, 200))],
        "box": [0.25, 0.5, 0.75, 1.0],
    }
    image = cell(sheet(tmp_path, record, box=feature), 0)
    # The picture has 176 x 88 pixels in the middle of the square.
    assert edge_of(image, YELLOW) == pytest.approx((44 + 22, 88, 44 + 66, 175), abs=3)
    assert share_of(image.crop((100, 75, 165, 100)), (0, 0, 0)) > 0.9, "it is only an outline"


def test_boxes_of_two_features_have_two_colours(tmp_path: Path) -> None:
    record: dict[str, Values] = {
        "image": [picture("PNG", size=(64, 64))],
        "boxes": [0.0, 0.0, 0.25, 0.25, 0.5, 0.0, 0.75, 0.25],
        "crowds": [0.5, 0.5, 1.0, 1.0],
    }
    image = sheet(tmp_path, record, boxes=SEQUENCE_OF_BOXES, crowds=SEQUENCE_OF_BOXES)
    assert edge_of(cell(image, 0), YELLOW) == pytest.approx((0, 0, 132, 44), abs=3)
    assert edge_of(cell(image, 0), BLUE) == pytest.approx((88, 88, 175, 175), abs=3)


@pytest.mark.parametrize(
    "boxes",
    [
        [], [0.1], [1, 2, 3, 4], [b"box"] * 4, [0.9, 0.9, 0.1, 0.1], [-1.0, 0.0, 9.0, 1.0],
        [float("nan")] * 4, [float("inf")] * 4,
    ],
    ids=str,
)  # fmt: skip
def test_boxes_that_are_none(tmp_path: Path, boxes: Values) -> None:
    record: dict[str, Values] = {"image": [picture("PNG", fill=GREEN)], "boxes": boxes}
    assert share_of_first(sheet(tmp_path, record, boxes=SEQUENCE_OF_BOXES)) > 0.95
    without: dict[str, Values] = {"boxes": boxes}
    sheet(tmp_path, without, names=(), boxes=SEQUENCE_OF_BOXES)


numbers = st.integers(-3, 5) | st.sampled_from([2**40, 0.5, "2", "-1", "x", None, True])
descriptions = st.recursive(
    numbers | st.sampled_from(["float32", "int64"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "image",
                    "sequence",
                    "feature",
                    "tensor",
                    "shape",
                    "dimensions",
                    "dtype",
                    "boundingBox",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
anything = st.lists(st.floats(width=32), max_size=14) | st.lists(st.integers(-9, 9), max_size=14)


@settings(max_examples=200, deadline=None)
@given(
    features=st.dictionaries(
        st.sampled_from("abc"),
        st.dictionaries(
            st.sampled_from(["image", "sequence", "tensor", "boundingBox"]),
            descriptions
            | st.fixed_dictionaries(
                {
                    "dtype": st.just("float32"),
                    "shape": st.fixed_dictionaries({"dimensions": st.lists(numbers, max_size=4)}),
                }
            ),
            max_size=2,
        ),
    ),
    record=st.dictionaries(st.sampled_from("abc"), anything),
)
def test_whatever_features_say_there_is_a_sheet(
    tmp_path_factory: pytest.TempPathFactory, features: dict[str, Any], record: dict[str, Any]
) -> None:
    path = write_records(tmp_path_factory.getbasetemp() / "any", [example(**record)] * 2)
    assert contact_sheet([path], {"featuresDict": {"features": features}}, {})


def test_a_caption_tells_whole_numbers_in_full() -> None:
    record = {"annotation_id": [1804851], "share": [0.123456789], "label": [1]}
    told = _caption(record, {"label": ["ants", "bees"]})
    assert told == "annotation_id 1804851, bees, share 0.123457"
