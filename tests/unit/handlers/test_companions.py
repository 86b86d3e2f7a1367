"""Masks, maps and annotations that were made without regard to their picture's EXIF orientation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset_handlers.duts import DutsHandler
from dataset_handlers.imagenet_det import ImagenetDetHandler
from dataset_handlers.matting import MattingHandler
from dataset_handlers.operations.decode import Decoded, decode_color, decode_deep, decode_grey
from dataset_handlers.portrait_depth import PortraitDepthHandler
from dataset_handlers.portrait_seg import PortraitSegHandler
from dataset_handlers.salicon import SaliconHandler
from tests.unit.handlers.pictures import save
from tests.unit.handlers.voc_raw import annotation_xml, object_xml, write_annotation

STORED = (40, 60)
LEVELS = np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))


def orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def draw(raw: Path, picture: str, companion: str, number: int, *, turn: str = "picture") -> None:
    """Write both as they are stored, one of them with an EXIF orientation."""
    exif = {"exif": orientation(number)}
    colours = np.repeat(LEVELS[..., np.newaxis], 3, axis=2)
    save(raw / picture, colours, **(exif if turn == "picture" else {}))
    save(raw / companion, LEVELS, **(exif if turn == "companion" else {}))


def reasons(handler: type[Any], raw: Path) -> list[str]:
    made = handler({}, str(raw))
    said = made.write_shard(list(made.plan_items("key")), str(raw.parent / "shard"), "key")
    return [bad["reason"] for bad in said["skipped"]]


CASES = [
    (DutsHandler, "DUTS-TR-Image/a.jpg", "DUTS-TR-Mask/a.png", "mask", "image"),
    (SaliconHandler, "images/a.jpg", "maps/a.png", "map", "image"),
    (PortraitSegHandler, "images/a.jpg", "masks/a.png", "mask", "image"),
    (PortraitDepthHandler, "images/a.jpg", "depth/a.png", "depth map", "image"),
    (MattingHandler, "fg/a.png", "alpha/a.png", "alpha", "foreground"),
]


@pytest.mark.parametrize(("handler", "picture", "companion", "role", "of"), CASES)
@pytest.mark.parametrize("turn", ["picture", "companion"])
def test_the_reason_says_that_one_is_turned(tmp_path, handler, picture, companion, role, of, turn):
    raw = tmp_path / "raw"
    save(raw / "bg" / "b.jpg", np.zeros((9, 9, 3), np.uint8))
    for number in (5, 6, 7, 8):
        draw(raw, picture, companion, number, turn=turn)
        (raw / "depth_info.csv").write_text('name,encoding\na,"near=dark, 8-bit relative"\n')
        if turn == "picture":
            sizes = f"the {role} is [40, 60], its {of} [60, 40]"
            why = f": the {of} is turned by its EXIF orientation, the {role} is not"
        else:
            sizes = f"the {role} is [60, 40], its {of} [40, 60]"
            why = f": the {role} is turned by its EXIF orientation, the {of} is not"
        assert reasons(handler, raw) == [sizes + why]


def test_no_such_word_where_the_size_differs_otherwise(tmp_path):
    raw = tmp_path / "raw"
    draw(raw, "DUTS-TR-Image/a.jpg", "DUTS-TR-Mask/a.png", 6)
    for size, told in (((41, 60), [41, 60]), ((20, 30), [20, 30])):
        save(raw / "DUTS-TR-Mask/a.png", np.full(size, 255, np.uint8))
        assert reasons(DutsHandler, raw) == [f"the mask is {told}, its image [60, 40]"]
    save(raw / "DUTS-TR-Image/a.jpg", np.zeros((60, 40, 3), np.uint8))
    save(raw / "DUTS-TR-Mask/a.png", LEVELS)
    assert reasons(DutsHandler, raw) == ["the mask is [40, 60], its image [60, 40]"]


def test_both_turned_fit(tmp_path):
    raw = tmp_path / "raw"
    draw(raw, "DUTS-TR-Image/a.jpg", "DUTS-TR-Mask/a.png", 6)
    save(raw / "DUTS-TR-Mask/a.png", LEVELS, exif=orientation(6))
    assert reasons(DutsHandler, raw) == []


@pytest.mark.parametrize("number", range(1, 9))
def test_annotations_of_the_picture_as_it_is_stored(tmp_path, number):
    raw = tmp_path / "raw"
    path = raw / "Data" / "DET" / "train" / "a.JPEG"
    save(path, np.zeros((*STORED, 3), np.uint8), exif=orientation(number))
    box = object_xml("dog", 5, 5, 20, 20)
    write_annotation(raw, "a", annotation_xml([box], STORED))
    why = "the image is turned by its EXIF orientation, its annotation is not"
    expected = [f"the annotation is of an image of [40, 60], it is [60, 40]: {why}"]
    assert reasons(ImagenetDetHandler, raw) == (expected if number >= 5 else [])
    write_annotation(raw, "a", annotation_xml([box], STORED[::-1]))
    upright = ["the annotation is of an image of [60, 40], it is [40, 60]"]
    assert reasons(ImagenetDetHandler, raw) == ([] if number >= 5 else upright)


def decoded(path: Path, decode: Any) -> Decoded:
    found: Decoded = decode(path.read_bytes(), 10_000)
    return found


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("decode", [decode_color, decode_grey, decode_deep])
def test_whether_a_file_was_turned(tmp_path, suffix, number, decode):
    path = tmp_path / f"a.{suffix}"
    save(path, np.repeat(LEVELS[..., np.newaxis], 3, axis=2), exif=orientation(number))
    found = decoded(path, decode)
    assert found.turned == (number >= 5)
    assert found.size == (STORED[::-1] if number >= 5 else STORED)


ZERO_ONE = "the {} is all but black: its values are 0 and 1, not 0 to 255"


@pytest.mark.parametrize(
    ("handler", "picture", "companion", "role"),
    [case[:4] for case in CASES if case[0] in (DutsHandler, SaliconHandler, MattingHandler)],
)
def test_ids_of_classes_are_no_levels(tmp_path, handler, picture, companion, role):
    raw = tmp_path / "raw"
    save(raw / "bg" / "b.jpg", np.zeros((9, 9, 3), np.uint8))
    draw(raw, picture, companion, 1)
    assert reasons(handler, raw) == []
    save(raw / companion, (LEVELS > 128).astype(np.uint8))
    assert reasons(handler, raw) == [ZERO_ONE.format(role)]
    # One bit is 0 and 255, whatever the file has.
    Image.fromarray(LEVELS > 128).save(raw / companion)
    assert reasons(handler, raw) == []


@pytest.mark.parametrize("most", [2, 20, 127])
def test_a_mask_that_is_dark_all_over_has_nothing_salient(tmp_path, most):
    raw = tmp_path / "raw"
    draw(raw, "DUTS-TR-Image/a.jpg", "DUTS-TR-Mask/a.png", 1)
    save(raw / "DUTS-TR-Mask/a.png", np.minimum(LEVELS, most))
    assert reasons(DutsHandler, raw) == ["the mask has no salient pixel: none reaches 128 of 255"]
    save(raw / "DUTS-TR-Mask/a.png", np.minimum(LEVELS, 128))
    assert reasons(DutsHandler, raw) == []
