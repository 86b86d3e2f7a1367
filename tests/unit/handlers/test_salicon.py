from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_handlers.salicon import SaliconHandler
from dataset_handlers.sdk import ConfigError, NoSourceItemsError
from tests.unit.handlers.pictures import save
from tests.unit.handlers.reading import pixels_of, read_records


def gaze(height: int = 60, width: int = 80, centre: tuple[float, float] = (0.3, 0.7)) -> np.ndarray:
    """A map with one soft spot; the centre as shares of height and width."""
    down = np.linspace(0, 1, height)[:, np.newaxis] - centre[0]
    right = np.linspace(0, 1, width) - centre[1]
    spot: np.ndarray = (255 * np.exp(-(down**2 + right**2) / 0.05)).astype(np.uint8)
    return spot


def draw_scene(folder: Path, path: str, saliency: np.ndarray | None = None) -> np.ndarray:
    """Write a picture that shows its map: red is the map's value, blue the rest."""
    saliency = gaze() if saliency is None else saliency
    picture = np.stack([saliency, np.full_like(saliency, 40), 255 - saliency], axis=-1)
    save(folder / "images" / f"{path}.jpg", picture, quality=98, subsampling=0)
    save(folder / "maps" / f"{path}.png", saliency)
    return saliency


def plan(folder: Path, config: dict | None = None) -> dict[str, str]:
    """The split of each item."""
    handler = SaliconHandler(config or {}, str(folder))
    return {item["key"]: item["split"] for item in handler.plan_items("key")}


def build(folder: Path, config: dict) -> tuple[list[dict], dict[str, str]]:
    """Return the records, decoded, and the reasons of what was skipped."""
    handler = SaliconHandler(config, str(folder))
    path = folder.parent / "shard"
    said = handler.write_shard(list(handler.plan_items("key")), str(path), "key")
    records = [
        {name: pixels_of(values[0]) for name, values in record.items()}
        for record in read_records(path)
    ]
    return records, {bad["key"]: bad["reason"] for bad in said["skipped"]}


def test_image_and_map_as_they_are(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    draw_scene(tmp_path / "raw", "train/one", levels)
    (record,), skipped = build(tmp_path / "raw", {"image_size": None})
    assert skipped == {}
    assert np.array_equal(record["map"], levels)
    assert record["image"].shape == (16, 16, 3)


def test_the_default_size(tmp_path):
    draw_scene(tmp_path / "raw", "train/one")
    (record,), _ = build(tmp_path / "raw", {})
    assert (record["image"].shape, record["map"].shape) == ((240, 320, 3), (240, 320))


def test_a_map_is_resized_as_a_picture_is(tmp_path):
    # Every second column bright: the mean of an area, where a mask would keep 0 or 200.
    draw_scene(tmp_path / "raw", "one", np.tile(np.array([0, 200], np.uint8), (20, 20)))
    (record,), _ = build(tmp_path / "raw", {"image_size": [20, 10]})
    assert (record["map"] == 100).all()


def test_bars_beside_a_map_are_black_whatever_they_are_beside_the_picture(tmp_path):
    draw_scene(tmp_path / "raw", "one", np.full((20, 20), 90, np.uint8))
    config = {"image_size": [20, 40], "resize_mode": "fit", "pad_value": 255}
    (record,), _ = build(tmp_path / "raw", config)
    assert record["map"][:, :10].max() == record["map"][:, 30:].max() == 0
    assert (record["map"][:, 10:30] == 90).all()
    assert record["image"][:, :8].min() > 240


@pytest.mark.parametrize("smart_crop", [None, [1, 1], [2, 3]])
@pytest.mark.parametrize("resize_mode", ["stretch", "fit", "fill"])
def test_every_variation_keeps_looks_on_what_was_looked_at(tmp_path, smart_crop, resize_mode):
    draw_scene(tmp_path / "raw", "one", gaze(240, 330))
    config = {
        "image_size": [160, 200],
        "resize_mode": resize_mode,
        "smart_crop": smart_crop,
        "crop_size": [120, 120],
        "random_crop": True,
        "variations_per_sample": 8,
        "rotate_degrees": 180,
        "flip_probability": 0.5,
    }
    records, _ = build(tmp_path / "raw", config)
    assert len({record["map"].tobytes() for record in records}) == 8
    for record in records:
        red = record["image"][..., 0].astype(int)
        bars = np.all(record["image"] < 12, axis=-1)  # of fit; in the map they are 0
        assert np.abs(red - record["map"])[~bars].mean() < 3
        assert np.quantile(np.abs(red - record["map"]), 0.99) < 14
    if resize_mode != "fit":
        assert not any(np.all(record["image"] < 12, axis=-1).any() for record in records)


def most_salient(saliency: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of the map with the largest sum, the most central of these, found by trying."""
    found = []
    for top in range(saliency.shape[0] - size[0] + 1):
        for left in range(saliency.shape[1] - size[1] + 1):
            part = saliency[top : top + size[0], left : left + size[1]]
            down = Fraction(2 * top + size[0] - saliency.shape[0], 2)
            right = Fraction(2 * left + size[1] - saliency.shape[1], 2)
            found.append((-int(part.astype(int).sum()), down**2 + right**2, top, left))
    _, _, top, left = min(found)
    return saliency[top : top + size[0], left : left + size[1]]


@pytest.mark.parametrize(
    ("ratio", "share", "size"),
    [
        ([1, 1], 1.0, (36, 36)),
        ([1, 2], 0.5, (14, 27)),  # 27 x 54 at most
        ([2, 1], 1.0, (36, 18)),
        ([3, 2], 0.75, (27, 18)),
    ],
)
def test_the_smart_crop_is_the_part_with_the_most_saliency(tmp_path, ratio, share, size):
    saliency = draw_scene(tmp_path / "raw", "one", gaze(36, 54, (0.25, 0.8)))
    config = {"image_size": None, "smart_crop": ratio, "smart_crop_share": share}
    (record,), _ = build(tmp_path / "raw", config)
    assert np.array_equal(record["map"], most_salient(saliency, size))
    assert np.abs(record["image"][..., 0].astype(int) - record["map"]).max() < 14


def test_the_smart_crop_comes_before_the_size(tmp_path):
    saliency = draw_scene(tmp_path / "raw", "one", gaze(480, 640, (0.5, 0.8)))
    config = {"image_size": [60, 60], "smart_crop": [1, 1]}
    (record,), _ = build(tmp_path / "raw", config)
    expected = most_salient(saliency, (480, 480)).reshape(60, 8, 60, 8).mean(axis=(1, 3))
    assert np.abs(record["map"] - expected).max() <= 0.5
    # A large JPEG must not have come reduced: the window is in its own pixels.
    assert np.abs(record["image"][..., 0] - expected).max() < 8


def test_the_smart_crop_of_a_picture_on_its_side(tmp_path):
    saliency = draw_scene(tmp_path / "raw", "one", gaze(40, 64))
    path = tmp_path / "raw" / "images" / "one.jpg"
    with Image.open(path) as picture:
        turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me clockwise"
    turned.save(path, quality=98, subsampling=0, exif=exif)
    (record,), _ = build(tmp_path / "raw", {"image_size": None, "smart_crop": [1, 1]})
    assert np.array_equal(record["map"], most_salient(saliency, (40, 40)))
    assert np.abs(record["image"][..., 0].astype(int) - record["map"]).max() < 14


PUBLISHED = {
    "images/train/a.jpg": "train",
    "images/train/b.jpg": "train",
    "images/val/c.jpg": "validation",
}


def published(folder: Path) -> Path:
    for path in ("train/a", "train/b", "val/c"):
        draw_scene(folder, path)
    save(folder / "images" / "test" / "d.jpg", np.zeros((8, 8, 3), np.uint8))
    return folder


def test_the_published_parts_are_the_splits(tmp_path):
    assert plan(published(tmp_path)) == PUBLISHED


def test_the_splits_are_those_of_the_plan_that_is_written(tmp_path):
    (tmp_path / "plan").mkdir()
    handler = SaliconHandler({}, str(published(tmp_path / "raw")))
    assert handler.write_plan("key", str(tmp_path / "plan")) == {
        "train": {"items": 2, "records": 2},
        "validation": {"items": 1, "records": 1},
    }


@pytest.mark.parametrize("part", ["train", "val"])
def test_one_part_alone(tmp_path, part):
    found = plan(published(tmp_path), {"folders": [part]})
    assert found == {key: split for key, split in PUBLISHED.items() if f"/{part}/" in key}


def test_a_share_of_train_is_validated_on_besides_val(tmp_path):
    for number in range(40):
        draw_scene(tmp_path, f"train/{number}", gaze(8, 8))
        draw_scene(tmp_path, f"val/{number}", gaze(8, 8))
    by_folder = plan(tmp_path, {"validation_share": 0.3})
    by_share = plan(tmp_path, {"validation_share": 0.3, "folder_splits": False})
    assert {by_folder[key] for key in by_folder if "/val/" in key} == {"validation"}
    assert {by_share[key] for key in by_share if "/val/" in key} == {"train", "validation"}
    of_train = {key for key in by_folder if "/train/" in key}
    assert {by_folder[key] for key in of_train} == {"train", "validation"}
    assert all(by_folder[key] == by_share[key] for key in of_train)


def test_without_their_meaning_folders_are_one_split(tmp_path):
    assert set(plan(published(tmp_path), {"folder_splits": False}).values()) == {"train"}


def test_all_flat(tmp_path):
    for name in ("x", "COCO_train2014_000000000001", "COCO_val2014_000000000002"):
        draw_scene(tmp_path, name)
    save(tmp_path / "images" / "COCO_test2014_000000000003.jpg", np.zeros((8, 8, 3), np.uint8))
    assert plan(tmp_path) == {
        "images/x.jpg": "train",
        "images/COCO_train2014_000000000001.jpg": "train",
        "images/COCO_val2014_000000000002.jpg": "validation",
    }


def test_flat_images_with_maps_in_folders(tmp_path):
    folder = published(tmp_path / "raw")
    for path in ("train/a", "train/b", "val/c"):
        name = f"{Path(path).name}.jpg"
        (folder / "images" / f"{path}.jpg").rename(folder / "images" / name)
    assert plan(folder) == {
        "images/a.jpg": "train",
        "images/b.jpg": "train",
        "images/c.jpg": "validation",
    }
    assert plan(folder, {"folders": ["val"]}) == {"images/c.jpg": "validation"}
    records, skipped = build(folder, {})
    assert (len(records), skipped) == (3, {})


def test_the_same_name_in_both_folders_is_two_pairs(tmp_path):
    for part, centre in (("train", (0.2, 0.2)), ("val", (0.8, 0.8))):
        draw_scene(tmp_path / "raw", f"{part}/one", gaze(60, 60, centre))
    records, skipped = build(tmp_path / "raw", {"image_size": None})
    assert (len(records), skipped) == (2, {})
    for record in records:
        assert np.abs(record["image"][..., 0].astype(int) - record["map"]).max() < 14


@pytest.mark.parametrize("suffix", [".jpeg", ".PNG", ".webp"])
def test_any_kind_of_image(tmp_path, suffix):
    folder = tmp_path / "raw"
    saliency = draw_scene(folder, "one")
    for kind, old in (("images", ".jpg"), ("maps", ".png")):
        with Image.open(folder / kind / f"one{old}") as image:
            image.save(folder / kind / f"one{suffix}", quality=98)
        if suffix.lower() != old:
            (folder / kind / f"one{old}").unlink()
    if suffix == ".PNG":
        (folder / "maps" / "one.png").unlink(missing_ok=True)
    (record,), skipped = build(folder, {"image_size": None})
    assert skipped == {}
    assert np.abs(record["map"].astype(int) - saliency).max() < 12


def test_bad_items(tmp_path):
    folder = tmp_path / "raw"
    for name in ("no_map", "no_image", "small", "nobody", "twice", "two_maps", "broken"):
        draw_scene(folder, f"train/{name}")
    maps, images = folder / "maps" / "train", folder / "images" / "train"
    (maps / "no_map.png").unlink()
    (images / "no_image.jpg").unlink()
    save(maps / "small.png", gaze(30, 40))
    save(maps / "nobody.png", np.zeros((60, 80), np.uint8))
    save(images / "twice.png", np.zeros((60, 80, 3), np.uint8))
    save(maps / "two_maps.jpg", gaze())
    (maps / "broken.png").write_bytes((maps / "broken.png").read_bytes()[:90])
    records, skipped = build(folder, {})
    assert records == []
    assert skipped.pop("images/train/broken.jpg").startswith("map: it can't be decoded")
    twice = "2 images of one name: images/train/twice.jpg, images/train/twice.png"
    assert skipped == {
        "images/train/no_map.jpg": "an image without its map maps/train/no_map.png",
        "maps/train/no_image.png": "a map without its image images/train/no_image.jpg",
        "images/train/small.jpg": "the map is [30, 40], its image [60, 80]",
        "images/train/nobody.jpg": "the map is 0 everywhere: nobody looked",
        "images/train/twice.jpg": twice,
        "images/train/twice.png": twice,
        "images/train/two_maps.jpg": (
            "an image with 2 maps: maps/train/two_maps.jpg, maps/train/two_maps.png"
        ),
    }


def test_a_flat_map_of_pictures_in_both_folders_is_nobodys(tmp_path):
    folder = tmp_path / "raw"
    for part in ("train", "val"):
        draw_scene(folder, f"{part}/one")
        (folder / "maps" / part / "one.png").unlink()
    save(folder / "maps" / "one.png", gaze())
    records, skipped = build(folder, {})
    assert records == []
    reason = "2 images of one name: images/train/one.jpg, images/val/one.jpg"
    assert skipped == {"images/train/one.jpg": reason, "images/val/one.jpg": reason}


def test_what_is_bad_in_a_part_that_is_not_read_is_nobodys_business(tmp_path):
    folder = published(tmp_path / "raw")
    (folder / "maps" / "val" / "c.png").unlink()
    assert plan(folder)["images/val/c.jpg"] == "validation"
    records, skipped = build(folder, {"folders": ["train"]})
    assert (len(records), skipped) == (2, {})


def test_nothing_to_read(tmp_path):
    with pytest.raises(NoSourceItemsError, match="salicon reads images"):
        plan(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"smart_crop_share": 0.5},
            "smart_crop_share: 0.5 is not allowed: it is the size of smart_crop, which is null",
        ),
        (
            {"smart_crop": [3, 4], "smart_crop_share": 0},
            "smart_crop_share: 0 is not allowed: a number above 0 up to 1, with smart_crop",
        ),
        ({"smart_crop": [0, 1]}, "smart_crop: [0, 1] is not allowed: null or two integers"),
        ({"smart_crop": "4:3"}, 'smart_crop: "4:3" is not allowed: null or two integers'),
        ({"folders": []}, 'folders: [] is not allowed: a list of "train", "val", each once'),
        ({"folders": ["val", "val"]}, 'folders: ["val", "val"] is not allowed: a list of'),
        ({"folders": ["test"]}, 'folders: ["test"] is not allowed: a list of "train", "val"'),
        ({"input_attributes": ["mask"]}, 'input_attributes: ["mask"] is not allowed: a list of'),
    ],
)
def test_options_that_are_refused(config, message):
    with pytest.raises(ConfigError) as caught:
        SaliconHandler(config, "")
    assert str(caught.value).startswith(message)


def test_features_follow_the_options():
    features = SaliconHandler({"crop_size": [96, 128]}, "").features()
    assert (features["image"].height, features["map"].width) == (96, 128)
    assert features["map"].channels == 1
    assert SaliconHandler({"image_size": None}, "").features()["map"].height is None
