import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_handlers.portrait_depth import PortraitDepthHandler
from dataset_handlers.sdk import ConfigError, NoSourceItemsError
from tests.unit.handlers.pictures import gradient, save
from tests.unit.handlers.reading import pixels_of, read_records

MILLIMETRES = "16-bit, mm, 0=invalid"
DISPARITY = "near=bright, 8-bit relative disparity"
RELATIVE = "near=dark, 8-bit relative"
AS_IT_IS = {"image_size": None, "depth_encoding": "uint16"}


def draw(folder: Path, name: str, depth: np.ndarray) -> None:
    save(folder / "images" / f"{name}.jpg", gradient(*depth.shape), quality=98, subsampling=0)
    save(folder / "depth" / f"{name}.png", depth)


def write_table(folder: Path, rows: dict[str, str], **more: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "depth_info.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "encoding", *more])
        writer.writerows([name, encoding, *more.values()] for name, encoding in rows.items())


def one(folder: Path, depth: np.ndarray, encoding: str, **more: str) -> Path:
    draw(folder, "one", depth)
    write_table(folder, {"one": encoding}, **more)
    return folder


def build(folder: Path, config: dict, key: str = "key") -> tuple[list[dict], list[dict]]:
    """Return the records, decoded, and what was skipped."""
    handler = PortraitDepthHandler(config, str(folder))
    path = folder.parent / "shard"
    said = handler.write_shard(list(handler.plan_items(key)), str(path), key)
    return [decoded(record) for record in read_records(path)], said["skipped"]


def decoded(record: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    image, valid = pixels_of(record["image"][0]), pixels_of(record["valid"][0])
    if isinstance(record["depth"][0], bytes):
        depth = pixels_of(record["depth"][0]) / 65535
    else:
        depth = np.array(record["depth"], np.float32).reshape(valid.shape)
    return {"image": image, "depth": depth, "valid": valid}


def kinect(height: int = 24, width: int = 32) -> np.ndarray:
    """Millimetres, farther to the right, with a hole and a border that were not seen."""
    depth = np.tile(np.linspace(800, 4000, width), (height, 1)).astype(np.uint16)
    depth[5:9, 10:20] = 0
    depth[:, -2:] = 65535
    return depth


def test_millimetres(tmp_path):
    depth = kinect()
    (record,), skipped = build(one(tmp_path / "raw", depth, MILLIMETRES), {"image_size": [24, 32]})
    assert skipped == []
    known = (depth > 0) & (depth < 65535)
    assert np.array_equal(record["valid"], np.where(known, 255, 0))
    nearest, farthest = depth[known].min(), depth[known].max()
    expected = np.where(known, (depth - nearest.astype(float)) / (farthest - nearest), 0)
    assert np.array_equal(record["depth"], expected.astype(np.float32))
    assert record["image"].shape == (24, 32, 3)


def test_near_is_0_whatever_the_encoding(tmp_path):
    codes = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    dark, _ = build(one(tmp_path / "raw", codes, RELATIVE), AS_IT_IS)
    bright, _ = build(one(tmp_path / "raw", 255 - codes, DISPARITY), AS_IT_IS)
    metres = codes.astype(np.uint16) * 10 + 500
    seen, _ = build(one(tmp_path / "raw", metres, MILLIMETRES), AS_IT_IS)
    assert np.array_equal(dark[0]["depth"][0], np.arange(256) / 255)
    assert np.array_equal(dark[0]["depth"], bright[0]["depth"])
    assert np.array_equal(dark[0]["depth"], seen[0]["depth"])


def test_range_inverse(tmp_path):
    codes = np.array([[0, 128, 255]], np.uint8)
    raw = one(tmp_path / "raw", codes, "RangeInverse", near="1", far="10")
    (record,), skipped = build(raw, AS_IT_IS)
    assert skipped == []
    middle = (1 / (1 - 128 / 255 * 0.9) - 1) / 9
    assert record["depth"].tolist() == [[0, pytest.approx(middle, abs=1e-5), 1]]


def test_both_encodings_of_the_record_agree(tmp_path):
    raw = one(tmp_path / "raw", kinect(), MILLIMETRES)
    (numbers,), _ = build(raw, {"image_size": [24, 32]})
    (png,), _ = build(raw, {"image_size": [24, 32], "depth_encoding": "uint16"})
    assert np.array_equal(numbers["valid"], png["valid"])
    assert np.abs(numbers["depth"] - png["depth"]).max() <= 0.5 / 65535 + 1e-7


def test_the_order_alone(tmp_path):
    codes = np.array([[7, 7, 9, 200], [9, 201, 255, 7]], np.uint8)
    raw = one(tmp_path / "raw", codes, RELATIVE)
    (record,), _ = build(raw, {"image_size": [2, 4], "relative_order": True})
    expected = np.array([[0, 0, 1, 2], [1, 3, 4, 0]]) / 4
    assert np.array_equal(record["depth"], expected.astype(np.float32))


def test_the_order_does_not_change_with_the_scale(tmp_path):
    depth = kinect()
    seen = np.where(depth > 0, depth.astype(float) ** 2 / 4100, 0).astype(np.uint16)
    seen[depth == 65535] = 0
    config = {"image_size": [24, 32], "relative_order": True}
    first, _ = build(one(tmp_path / "raw", depth, MILLIMETRES), config)
    second, _ = build(one(tmp_path / "raw", seen, MILLIMETRES), config)
    assert np.array_equal(first[0]["depth"], second[0]["depth"])


def test_the_defaults(tmp_path):
    (record,), _ = build(one(tmp_path / "raw", kinect(480, 640), MILLIMETRES), {})
    assert {name: pixels.shape for name, pixels in record.items()} == {
        "image": (256, 256, 3),
        "depth": (256, 256),
        "valid": (256, 256),
    }
    assert (record["depth"].min(), record["depth"].max()) == (0, 1)


def test_no_distance_is_made_up(tmp_path):
    """A step from 1 m to 3 m with a hole: whatever is done to it, nothing lies in between."""
    depth = np.full((60, 80), 1000, np.uint16)
    depth[:, 40:] = 3000
    depth[20:40, 30:50] = 0
    config = {
        "image_size": [47, 93],
        "crop_size": [40, 80],
        "random_crop": True,
        "rotate_degrees": 20,
        "flip_probability": 0.5,
        "variations_per_sample": 10,
    }
    records, _ = build(one(tmp_path / "raw", depth, MILLIMETRES), config)
    for record in records:
        assert set(np.unique(record["depth"])) == {0, 1}
        assert set(np.unique(record["valid"])) == {0, 255}
        assert not record["depth"][record["valid"] == 0].any()


def test_each_pixel_keeps_its_depth(tmp_path):
    """The picture's red grows to the right as its depth does."""
    depth = np.tile(np.arange(256, dtype=np.uint8), (200, 1))
    config = {
        "image_size": [300, 400],
        "crop_size": [150, 200],
        "random_crop": True,
        "rotate_degrees": 40,
        "flip_probability": 0.5,
        "variations_per_sample": 8,
    }
    records, _ = build(one(tmp_path / "raw", depth, RELATIVE), config)
    assert len({record["depth"].tobytes() for record in records}) == 8
    for record in records:
        red = record["image"][..., 0].astype(float)
        nearest, farthest = red.min(), red.max()
        expected = (red - nearest) / (farthest - nearest)
        assert np.abs(expected - record["depth"]).mean() < 0.02


def test_bars_are_not_valid(tmp_path):
    depth = np.tile(np.arange(100, 200, dtype=np.uint8), (50, 1))
    config = {"image_size": [100, 100], "resize_mode": "fit"}
    (record,), _ = build(one(tmp_path / "raw", depth, RELATIVE), config)
    assert not record["valid"][:25].any() and not record["valid"][75:].any()
    assert (record["valid"][25:75] == 255).all()
    assert not record["depth"][:25].any()
    assert np.array_equal(record["depth"][30], (np.arange(100) / 99).astype(np.float32))


def test_depth_is_that_of_the_crop(tmp_path):
    depth = np.tile(np.arange(100, dtype=np.uint8), (100, 1))
    config = {"image_size": [100, 100], "crop_size": [50, 11]}
    (record,), _ = build(one(tmp_path / "raw", depth, RELATIVE), config)
    assert record["depth"][0].tolist() == pytest.approx(np.arange(11) / 10)


def test_a_crop_without_distances_is_0(tmp_path):
    depth = np.full((60, 60), 1000, np.uint16)
    depth[0], depth[10:50, 10:50] = 2000, 0
    for size, valid in (([20, 20], 0), ([40, 60], 255)):
        config = {"image_size": [60, 60], "crop_size": size}
        (record,), skipped = build(one(tmp_path / "raw", depth, MILLIMETRES), config)
        assert skipped == [] and not record["depth"].any()
        assert record["valid"][0, 0] == valid


def test_colours_leave_depth_alone(tmp_path):
    raw = one(tmp_path / "raw", kinect(), MILLIMETRES)
    config = {"brightness": 0.5, "noise_sigma": 9, "variations_per_sample": 4}
    records, _ = build(raw, config)
    assert len({record["image"].tobytes() for record in records}) == 4
    assert len({record["depth"].tobytes() for record in records}) == 1


def skipped_reasons(folder: Path) -> dict[str, str]:
    _, skipped = build(folder, {})
    return {bad["key"]: bad["reason"] for bad in skipped}


@pytest.mark.parametrize(
    ("depth", "encoding", "reason"),
    [
        (np.zeros((9, 9), np.uint16), MILLIMETRES, "the depth map has no valid pixel"),
        (np.full((9, 9), 65535, np.uint16), MILLIMETRES, "the depth map has no valid pixel"),
        (np.full((9, 9), 77, np.uint8), DISPARITY, "the depth map has one distance all over"),
        (
            np.eye(9, dtype=np.uint8),
            MILLIMETRES,
            "the depth map has 8 bits, depth_info.csv says 16-bit, mm, 0=invalid",
        ),
        (
            np.eye(9, dtype=np.uint16),
            RELATIVE,
            "the depth map has 16 bits, depth_info.csv says near=dark, 8-bit relative",
        ),
    ],
)
def test_depth_maps_that_are_bad(tmp_path, depth, encoding, reason):
    assert skipped_reasons(one(tmp_path / "raw", depth, encoding)) == {"images/one.jpg": reason}


def test_a_depth_map_of_another_size_is_bad(tmp_path):
    raw = one(tmp_path / "raw", kinect(24, 32), MILLIMETRES)
    save(raw / "depth" / "one.png", kinect(12, 16))
    reason = "the depth map is [12, 16], its image [24, 32]"
    assert skipped_reasons(raw) == {"images/one.jpg": reason}


def test_the_reason_tells_which_file(tmp_path):
    raw = one(tmp_path / "raw", kinect(), MILLIMETRES)
    (raw / "depth" / "one.png").write_bytes(b"")
    assert skipped_reasons(raw) == {"images/one.jpg": "depth: the file is empty"}


def test_what_lacks_something(tmp_path):
    raw = tmp_path / "raw"
    for name in ("no_depth", "no_image", "no_row", "odd", "two"):
        draw(raw, name, kinect())
    (raw / "depth" / "no_depth.png").unlink()
    (raw / "images" / "no_image.jpg").unlink()
    save(raw / "depth" / "two.PNG", kinect())
    names = ("no_depth", "no_image", "two", "../\nno_file", "good")
    write_table(raw, {**dict.fromkeys(names, MILLIMETRES), "odd": "furlongs"})
    draw(raw, "good", kinect())
    records, skipped = build(raw, {})
    assert len(records) == 1
    reasons = {bad["key"]: bad["reason"] for bad in skipped}
    assert reasons.pop("images/odd.jpg").startswith(
        "depth_info.csv says that its encoding is 'furlongs'; known are: 16-bit, mm, 0=invalid;"
    )
    assert reasons == {
        "images/no_depth.jpg": "an image without its depth map depth/no_depth.png",
        "depth/no_image.png": "a depth map without its image images/no_image.jpg",
        "images/no_row.jpg": "depth_info.csv has no row for it",
        "images/two.jpg": "an image with 2 depth maps: two.PNG, two.png",
        "depth_info.csv:6": (
            "there is neither an image nor a depth map of its name '../\\nno_file'"
        ),
    }


def test_without_a_table_nothing_is_known(tmp_path):
    draw(tmp_path / "raw", "one", kinect())
    assert skipped_reasons(tmp_path / "raw") == {
        "images/one.jpg": "depth_info.csv is missing, which says how its depth is encoded"
    }


def test_a_table_that_is_none(tmp_path):
    raw = one(tmp_path / "raw", kinect(), MILLIMETRES)
    (raw / "depth_info.csv").write_text("<html>")
    with pytest.raises(NoSourceItemsError, match="its first line names no column name"):
        build(raw, {})


def test_an_empty_folder(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(NoSourceItemsError, match="portrait_depth reads images/"):
        build(tmp_path / "raw", {})


def test_numbers_need_one_size():
    with pytest.raises(ConfigError) as caught:
        PortraitDepthHandler({"image_size": None}, "")
    assert str(caught.value) == (
        'depth_encoding: "float32" is not allowed: its records need one size: set image_size or '
        'crop_size, or "uint16"'
    )
    features = PortraitDepthHandler({"image_size": None, "crop_size": [9, 8]}, "").features()
    assert features["depth"].shape == (9, 8, 1)
    features = PortraitDepthHandler(AS_IT_IS, "").features()
    assert (features["depth"].height, features["depth"].dtype) == (None, "uint16")


def test_who_makes_a_record_makes_no_difference(tmp_path):
    raw = tmp_path / "raw"
    for number in range(4):
        draw(raw, str(number), kinect(30 + number, 40))
    write_table(raw, {str(number): MILLIMETRES for number in range(4)})
    config = {
        "variations_per_sample": 3,
        "image_size": [40, 40],
        "crop_size": [20, 20],
        "random_crop": True,
        "rotate_degrees": 20,
        "noise_sigma": 3,
    }
    handler = PortraitDepthHandler(config, str(raw))
    items, path = list(handler.plan_items("key")), tmp_path / "shard"
    handler.write_shard(items, str(path), "key")
    together = read_records(path)
    alone = []
    for item in reversed(items):
        PortraitDepthHandler(config, str(raw)).write_shard([item], str(path), "key")
        alone = [*read_records(path), *alone]
    assert alone == together
