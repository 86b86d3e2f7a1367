from pathlib import Path

import numpy as np
import pytest

from dataset_handlers.duts import DutsHandler
from dataset_handlers.sdk import ConfigError
from dataset_handlers.sdk.errors import BadItemError
from tests.unit.handlers.pictures import draw_pair, save
from tests.unit.handlers.reading import pixels_of, read_records

PUBLISHED = {
    "input_attributes": ["image"],
    "batch_size": 100,
    "image_size": [1024, 1024],
    "variations_per_sample": 1,
    "crop_size": [800, 800],
    "random_crop_centered": True,
}


def build(folder: Path, config: dict, key: str = "key") -> tuple[list[dict], list[dict]]:
    """Return the records, decoded, and what was skipped."""
    handler = DutsHandler(config, str(folder))
    path = folder.parent / "shard"
    said = handler.write_shard(list(handler.plan_items(key)), str(path), key)
    records = [
        {name: pixels_of(values[0]) for name, values in record.items()}
        for record in read_records(path)
    ]
    return records, said["skipped"]


def test_image_and_mask_as_they_are(tmp_path):
    folder = tmp_path / "raw"
    mask = draw_pair(folder, "one")
    (record,), skipped = build(folder, {"image_size": None})
    assert skipped == []
    assert np.array_equal(record["mask"], mask)
    assert record["image"].shape == (60, 90, 3)
    assert record["image"][20, 80].tolist() == pytest.approx([230, 20, 10], abs=12)
    assert record["image"][50, 5].tolist() == pytest.approx([10, 20, 230], abs=12)


def test_the_default_size(tmp_path):
    draw_pair(tmp_path / "raw", "one")
    (record,), _ = build(tmp_path / "raw", {})
    assert (record["image"].shape, record["mask"].shape) == ((320, 320, 3), (320, 320))


def test_the_published_config(tmp_path):
    draw_pair(tmp_path / "raw", "one", 300, 400)
    (record,), _ = build(tmp_path / "raw", PUBLISHED)
    assert (record["image"].shape, record["mask"].shape) == ((800, 800, 3), (800, 800))


def test_every_variation_keeps_the_object_under_its_mask(tmp_path):
    draw_pair(tmp_path / "raw", "one", 240, 320)
    config = {
        "image_size": [200, 260],
        "crop_size": [150, 150],
        "random_crop_centered": True,
        "variations_per_sample": 12,
        "rotate_degrees": 180,
        "flip_probability": 0.5,
        "brightness": 0.2,
    }
    records, _ = build(tmp_path / "raw", config)
    assert len(records) == 12
    assert len({record["image"].tobytes() for record in records}) == 12
    for record in records:
        assert set(np.unique(record["mask"])) <= {0, 255}
        red = record["image"][..., 0].astype(int) > record["image"][..., 2]
        # JPEG and interpolation blur the object's edge, nothing more.
        assert np.mean(red != (record["mask"] > 0)) < 0.02


def test_brightness_leaves_the_mask_alone(tmp_path):
    draw_pair(tmp_path / "raw", "one")
    config = {"image_size": None, "brightness": 0.5, "variations_per_sample": 6}
    records, _ = build(tmp_path / "raw", config)
    assert len({record["mask"].tobytes() for record in records}) == 1
    assert len({int(record["image"].mean()) for record in records}) > 3


def test_a_large_picture_that_is_decoded_reduced_keeps_its_mask(tmp_path):
    # Its edges lie on multiples of eight: no pixel of the record is half object.
    draw_pair(tmp_path / "raw", "one", 960, 1920)
    (record,), skipped = build(tmp_path / "raw", {"image_size": [120, 240]})
    assert skipped == []
    red = record["image"][..., 0].astype(int) > record["image"][..., 2]
    assert np.array_equal(red, record["mask"] > 0)


def test_grey_levels_of_a_mask_stay(tmp_path):
    folder = tmp_path / "raw"
    draw_pair(folder, "one", 16, 16)
    soft = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save(folder / "DUTS-TR-Mask" / "one.png", soft)
    (record,), _ = build(folder, {"image_size": None})
    assert np.array_equal(record["mask"], soft)


def skipped_reason(folder: Path) -> str:
    records, skipped = build(folder, {})
    assert records == []
    assert len(skipped) == 1
    return skipped[0]["reason"]


def test_a_mask_of_another_size_is_bad(tmp_path):
    draw_pair(tmp_path / "raw", "one")
    save(tmp_path / "raw" / "DUTS-TR-Mask" / "one.png", np.full((30, 45), 255, np.uint8))
    assert skipped_reason(tmp_path / "raw") == "the mask is [30, 45], its image [60, 90]"


def test_an_empty_mask_is_bad(tmp_path):
    draw_pair(tmp_path / "raw", "one")
    save(tmp_path / "raw" / "DUTS-TR-Mask" / "one.png", np.zeros((60, 90), np.uint8))
    assert skipped_reason(tmp_path / "raw") == (
        "the mask has no salient pixel: none reaches 128 of 255"
    )


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ("DUTS-TR-Mask/one.png", "an image without its mask DUTS-TR-Mask/one.png"),
        ("DUTS-TR-Image/one.jpg", "a mask without its image DUTS-TR-Image/one.jpg"),
    ],
)
def test_a_missing_partner_is_bad(tmp_path, gone, reason):
    draw_pair(tmp_path / "raw", "one")
    (tmp_path / "raw" / gone).unlink()
    assert skipped_reason(tmp_path / "raw") == reason


def test_two_masks_are_bad(tmp_path):
    draw_pair(tmp_path / "raw", "one")
    save(tmp_path / "raw" / "DUTS-TR-Mask" / "one.PNG", np.ones((60, 90), np.uint8))
    masks = "DUTS-TR-Mask/one.PNG, DUTS-TR-Mask/one.png"
    assert skipped_reason(tmp_path / "raw") == f"an image with 2 masks: {masks}"


def test_two_masks_whose_names_are_not_utf8_are_told(tmp_path):
    folder = tmp_path / "raw"
    draw_pair(folder, "one")
    image, mask = folder / "DUTS-TR-Image" / "one.jpg", folder / "DUTS-TR-Mask" / "one.png"
    try:
        for suffix in ("png", "PNG"):
            mask.with_name(f"\udcff.{suffix}").write_bytes(mask.read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    mask.unlink()
    image.rename(image.with_name("\udcff.jpg"))
    masks = "DUTS-TR-Mask/\\xff.PNG, DUTS-TR-Mask/\\xff.png"
    assert skipped_reason(folder) == f"an image with 2 masks: {masks}"


def test_two_images_of_one_name_are_bad_both(tmp_path):
    image = tmp_path / "raw" / "DUTS-TR-Image" / "one.jpg"
    draw_pair(tmp_path / "raw", "one")
    image.with_suffix(".jpeg").write_bytes(image.read_bytes())
    items = list(DutsHandler({}, str(tmp_path / "raw")).source_items())
    assert {item.key for item in items} == {f"DUTS-TR-Image/one.{e}" for e in ("jpeg", "jpg")}
    for item in items:
        with pytest.raises(BadItemError, match=r"2 images of one name: .*one\.jpeg, .*one\.jpg"):
            item.check()


def test_a_picture_smaller_than_its_crop_is_bad(tmp_path):
    draw_pair(tmp_path / "raw", "one")
    _, skipped = build(tmp_path / "raw", {"image_size": None, "crop_size": [61, 10]})
    assert skipped[0]["reason"] == "the image is [60, 90], smaller than crop_size [61, 10]"


def test_the_reason_tells_which_file(tmp_path):
    draw_pair(tmp_path / "raw", "one")
    (tmp_path / "raw" / "DUTS-TR-Mask" / "one.png").write_bytes(b"")
    assert skipped_reason(tmp_path / "raw") == "mask: the file is empty"


def test_names_in_any_case_and_script(tmp_path):
    folder = tmp_path / "raw"
    for name in ("狐狸 🦊", "two words"):
        draw_pair(folder, name)
    (folder / "DUTS-TR-Image" / "two words.jpg").rename(folder / "DUTS-TR-Image" / "two words.JPG")
    (folder / "DUTS-TR-Image" / ".DS_Store").touch()
    records, skipped = build(folder, {})
    assert (len(records), skipped) == (2, [])


def test_features_follow_the_options():
    features = DutsHandler(PUBLISHED, "").features()
    assert (features["image"].height, features["mask"].channels) == (800, 1)
    assert DutsHandler({"image_size": None}, "").features()["mask"].height is None


def test_inputs_are_checked_at_once():
    with pytest.raises(ConfigError) as caught:
        DutsHandler({"input_attributes": ["label"]}, "")
    assert str(caught.value) == (
        'input_attributes: ["label"] is not allowed: a list of "image", "mask", each once'
    )
