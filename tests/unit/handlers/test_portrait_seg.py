from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.portrait_seg import PortraitSegHandler
from dataset_handlers.sdk import ConfigError, NoSourceItemsError
from tests.unit.handlers.pictures import save
from tests.unit.handlers.reading import pixels_of, read_records

Box = tuple[int, int, int, int]
PERSON = (40, 60, 100, 100)


def draw_portrait(
    folder: Path, name: str, size: tuple[int, int] = (120, 160), person: Box = PERSON
) -> np.ndarray:
    """Write a picture that is red where somebody is, from top, left to bottom, right."""
    mask = np.zeros(size, np.uint8)
    mask[person[0] : person[2], person[1] : person[3]] = 255
    picture = np.full((*size, 3), (10, 20, 230), np.uint8)
    picture[mask > 0] = (230, 20, 10)
    save(folder / "images" / f"{name}.jpg", picture, quality=98, subsampling=0)
    save(folder / "masks" / f"{name}.png", mask)
    return mask


def build(folder: Path, config: dict) -> tuple[list[dict], dict[str, str]]:
    """Return the records, decoded, and the reasons of what was skipped."""
    handler = PortraitSegHandler(config, str(folder))
    path = folder.parent / "shard"
    said = handler.write_shard(list(handler.plan_items("key")), str(path), "key")
    records = [
        {name: pixels_of(values[0]) for name, values in record.items()}
        for record in read_records(path)
    ]
    return records, {bad["key"]: bad["reason"] for bad in said["skipped"]}


def is_red(record: dict) -> np.ndarray:
    """Where the picture shows somebody: neither its blue background nor a bar."""
    return record["image"][..., 0].astype(int) > record["image"][..., 2] + 60.0


def assert_mask_is_on_somebody(record: dict, blurred: int = 2) -> None:
    """But for `blurred` pixels beside an edge: JPEG and interpolation blur it."""
    differs = is_red(record) != (record["mask"] > 0)
    sure = far_from_edges(record["mask"], blurred)
    assert sure.any()
    assert not (differs & sure).any()


def test_the_default_is_the_square_around_the_mask(tmp_path):
    draw_portrait(tmp_path / "raw", "one")
    (record,), skipped = build(tmp_path / "raw", {})
    assert skipped == {}
    assert (record["image"].shape, record["mask"].shape) == ((256, 256, 3), (256, 256))
    # 60 high with 6 above and below is 72, of which it takes 60/72 and 40/72 in the middle.
    rows, columns = np.nonzero(record["mask"])
    assert (rows.min(), rows.max() + 1) == pytest.approx((256 / 12, 256 * 11 / 12), abs=1)
    assert (columns.min(), columns.max() + 1) == pytest.approx((256 * 2 / 9, 256 * 7 / 9), abs=1)
    assert_mask_is_on_somebody(record, blurred=6)


def test_a_square_of_its_own_size(tmp_path):
    mask = draw_portrait(tmp_path / "raw", "one")
    (record,), _ = build(tmp_path / "raw", {"image_size": None, "margin": 0.25})
    assert np.array_equal(record["mask"], mask[25:115, 35:125])
    assert_mask_is_on_somebody(record)


def test_somebody_at_the_edge_is_shifted_inside(tmp_path):
    mask = draw_portrait(tmp_path / "raw", "one", person=(60, 120, 120, 160))
    (record,), _ = build(tmp_path / "raw", {"image_size": None, "margin": 0.25})
    assert np.array_equal(record["mask"], mask[30:120, 70:160])


def test_bars_where_the_square_does_not_fit(tmp_path):
    mask = draw_portrait(tmp_path / "raw", "one", (160, 60), (20, 10, 140, 50))
    (record,), _ = build(tmp_path / "raw", {"image_size": None, "margin": 0.1, "pad_value": 255})
    # 120 high with 12 above and below is 144, of which the picture is the middle 60.
    assert record["mask"].shape == (144, 144)
    assert np.array_equal(record["mask"][:, 42:102], mask[8:152])
    assert not record["mask"][:, :42].any() and not record["mask"][:, 102:].any()
    assert record["image"][:, :38].min() > 240 and record["image"][:, 106:].min() > 240
    assert_mask_is_on_somebody(record)


def test_a_margin_beyond_the_picture_ends_with_it(tmp_path):
    mask = draw_portrait(tmp_path / "raw", "one")
    (record,), _ = build(tmp_path / "raw", {"image_size": None, "margin": 10})
    assert record["mask"].shape == (160, 160)
    # The picture's 120 rows, as near to somebody in the centre as that goes: 70 is at 80.
    assert np.array_equal(record["mask"][10:130], mask)
    assert not record["mask"][:10].any() and not record["mask"][130:].any()


def test_without_the_square_all_of_the_picture_is_there(tmp_path):
    mask = draw_portrait(tmp_path / "raw", "one")
    config = {"square_crop": False, "image_size": [240, 320]}
    (record,), _ = build(tmp_path / "raw", config)
    assert np.array_equal(record["mask"], mask.repeat(2, axis=0).repeat(2, axis=1))
    (record,), _ = build(tmp_path / "raw", {"square_crop": False, "image_size": None})
    assert np.array_equal(record["mask"], mask)


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(80, 200), st.integers(80, 200)),
    corner=st.tuples(st.floats(0, 0.7), st.floats(0, 0.7)),
    share=st.tuples(st.floats(0.25, 1), st.floats(0.25, 1)),
    margin=st.sampled_from([0, 0.1, 0.5, 3]),
    square_crop=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_a_pixel_stays_with_its_label(
    tmp_path_factory, size, corner, share, margin, square_crop, seed
):
    folder = tmp_path_factory.mktemp("portraits") / "raw"
    top, left = (int(c * side) for c, side in zip(corner, size, strict=True))
    person = (
        top,
        left,
        top + max(24, int(share[0] * (size[0] - top))),
        left + max(24, int(share[1] * (size[1] - left))),
    )
    draw_portrait(folder, "one", size, person)
    config = {
        "image_size": [128, 128],
        "crop_size": [110, 100],
        "random_crop": True,
        "rotate_degrees": 40,
        "flip_probability": 0.5,
        "variations_per_sample": 3,
        "square_crop": square_crop,
        "seed": seed,
        **({"margin": margin} if square_crop else {}),
    }
    records, skipped = build(folder, config)
    assert (len(records), skipped) == (3, {})
    # By a pixel or two, of the source or of the result.
    blurred = 3 + 2 * 128 // max(person[2] - top, person[3] - left)
    for record in records:
        assert set(np.unique(record["mask"])) <= {0, 255}
        assert_mask_is_on_somebody(record, blurred)


def far_from_edges(mask: np.ndarray, distance: int) -> np.ndarray:
    """Where all pixels of the mask up to `distance` away are equal, and none is out of sight."""
    padded = np.pad(mask, distance, constant_values=127)
    around = np.lib.stride_tricks.sliding_window_view(padded, (2 * distance + 1,) * 2)
    return around.min(axis=(2, 3)) == around.max(axis=(2, 3))


def test_grey_levels_of_a_mask_stay(tmp_path):
    folder = tmp_path / "raw"
    draw_portrait(folder, "one", (16, 16), (0, 0, 16, 16))
    soft = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save(folder / "masks" / "one.png", soft)
    (record,), _ = build(folder, {"image_size": None, "square_crop": False})
    assert np.array_equal(record["mask"], soft)
    # What is shown rather than not is its lower half, as wide as the picture.
    (record,), _ = build(folder, {"image_size": None, "margin": 0})
    assert np.array_equal(record["mask"], soft)


def test_stray_shades_do_not_widen_the_square(tmp_path):
    folder = tmp_path / "raw"
    mask = draw_portrait(folder, "one")
    mask[0, 0] = 100
    save(folder / "masks" / "one.png", mask)
    (record,), _ = build(folder, {"image_size": None, "margin": 0})
    assert record["mask"].shape == (60, 60)


def test_a_large_picture_is_cut_before_it_is_resized(tmp_path):
    draw_portrait(tmp_path / "raw", "one", (1600, 1600), (800, 800, 864, 864))
    (record,), _ = build(tmp_path / "raw", {"image_size": [64, 64], "margin": 0})
    # Were it decoded at an eighth, eight of its pixels would be left, and a blurred edge.
    assert (record["mask"] == 255).all()
    assert is_red(record).all()
    assert record["image"][..., 0].min() > 200


def test_a_square_larger_than_allowed_is_bad(tmp_path):
    draw_portrait(tmp_path / "raw", "one", (4, 3000), (0, 0, 4, 3000))
    _, skipped = build(tmp_path / "raw", {"image_size": None, "max_pixels": 1_000_000})
    assert skipped == {
        "images/one.jpg": "the square around its mask is 9000000 pixels with its bars, "
        "max_pixels allows 1000000"
    }
    records, _ = build(tmp_path / "raw", {"max_pixels": 1_000_000})
    assert len(records) == 1


def test_any_kind_of_image(tmp_path):
    folder = tmp_path / "raw"
    mask = draw_portrait(folder, "one")
    save(folder / "images" / "one.webp", np.zeros((120, 160, 3), np.uint8))
    (folder / "images" / "one.jpg").unlink()
    save(folder / "masks" / "one.TIF", mask)
    (folder / "masks" / "one.png").unlink()
    records, skipped = build(folder, {})
    assert (len(records), skipped) == (1, {})


def test_bad_items(tmp_path):
    folder = tmp_path / "raw"
    for name in ("no_mask", "no_image", "small", "nobody", "zero_one", "twice", "two_masks", "cut"):
        draw_portrait(folder, name)
    masks, images = folder / "masks", folder / "images"
    (masks / "no_mask.png").unlink()
    (images / "no_image.jpg").unlink()
    save(masks / "small.png", np.full((60, 80), 255, np.uint8))
    save(masks / "nobody.png", np.zeros((120, 160), np.uint8))
    save(masks / "zero_one.png", np.ones((120, 160), np.uint8))
    save(images / "twice.jpeg", np.zeros((120, 160, 3), np.uint8))
    save(masks / "two_masks.bmp", np.full((120, 160), 255, np.uint8))
    (images / "cut.jpg").write_bytes((images / "cut.jpg").read_bytes()[:-500])
    records, skipped = build(folder, {})
    assert records == []
    assert skipped.pop("images/cut.jpg").startswith("image: it can't be decoded")
    nobody = "the mask shows nobody: none of its pixels reaches 128 of 255"
    twice = "2 images of one name: images/twice.jpeg, images/twice.jpg"
    assert skipped == {
        "images/no_mask.jpg": "an image without its mask masks/no_mask.png",
        "masks/no_image.png": "a mask without its image images/no_image.jpg",
        "images/small.jpg": "the mask is [60, 80], its image [120, 160]",
        "images/nobody.jpg": nobody,
        "images/zero_one.jpg": nobody,
        "images/twice.jpeg": twice,
        "images/twice.jpg": twice,
        "images/two_masks.jpg": "an image with 2 masks: masks/two_masks.bmp, masks/two_masks.png",
    }


def test_names_that_are_not_utf8_are_bad(tmp_path):
    folder = tmp_path / "raw"
    draw_portrait(folder, "one")
    for path in (folder / "images" / "one.jpg", folder / "masks" / "one.png"):
        path.rename(path.with_name(f"\udce9{path.suffix}"))
    records, skipped = build(folder, {})
    assert records == []
    assert skipped == {"images/\\xe9.jpg": "its file name is not UTF-8"}


def test_nothing_to_read(tmp_path):
    with pytest.raises(NoSourceItemsError, match="portrait_seg reads images"):
        list(PortraitSegHandler({}, str(tmp_path)).plan_items("key"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"image_size": [256, 320]},
            "square_crop: true is not allowed: image_size is [256, 320], no square: "
            "one of the two has to change",
        ),
        (
            {"square_crop": False, "margin": 0.2},
            "margin: 0.2 is not allowed: it is the margin of square_crop, which is off",
        ),
        (
            {"resize_mode": "crop_or_pad"},
            "square_crop: true is not allowed: the square is always resized: "
            'resize_mode "crop_or_pad" needs it off',
        ),
        ({"margin": -0.1}, "margin: -0.1 is not allowed: a number from 0 to 10, with square_crop"),
        ({"square_crop": 1}, "square_crop: 1 is not allowed: true or false"),
        ({"input_attributes": ["alpha"]}, 'input_attributes: ["alpha"] is not allowed: a list of'),
    ],
)
def test_options_that_are_refused(config, message):
    with pytest.raises(ConfigError) as caught:
        PortraitSegHandler(config, "")
    assert str(caught.value).startswith(message)


def test_every_pixel_is_kept_without_the_square(tmp_path):
    mask = draw_portrait(tmp_path / "raw", "one")
    config = {"square_crop": False, "resize_mode": "crop_or_pad", "image_size": [100, 200]}
    (record,), _ = build(tmp_path / "raw", config)
    assert np.array_equal(record["mask"], np.pad(mask[10:110], ((0, 0), (20, 20))))


def test_features_follow_the_options():
    features = PortraitSegHandler({"crop_size": [96, 128]}, "").features()
    assert (features["image"].height, features["mask"].width) == (96, 128)
    assert features["mask"].channels == 1
    assert PortraitSegHandler({"image_size": None}, "").features()["mask"].height is None
