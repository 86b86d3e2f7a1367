"""Real pictures, good and bad, from ../shared/data."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from dataset_handlers.classification import ClassificationHandler
from dataset_handlers.duts import DutsHandler
from dataset_handlers.matting import MattingHandler
from dataset_handlers.portrait_depth import PortraitDepthHandler
from dataset_handlers.portrait_seg import PortraitSegHandler
from dataset_handlers.salicon import SaliconHandler


def build(handler, path: Path) -> dict:
    return handler.write_shard(list(handler.plan_items("key")), str(path), "key")


def test_duts(shared_data, tmp_path):
    handler = DutsHandler({"image_size": [64, 64]}, str(shared_data / "duts"))
    said = build(handler, tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (78, [])


def test_classification(shared_data, tmp_path):
    handler = ClassificationHandler({"image_size": [64, 64]}, str(shared_data / "classification"))
    said = build(handler, tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (54, [])
    assert handler.feature_spec()["labels"] == {"label": ["ants", "bees"]}


@pytest.mark.parametrize("config", [{}, {"smart_crop": [1, 1], "image_size": [64, 64]}])
def test_salicon(shared_data, tmp_path, config):
    handler = SaliconHandler(config, str(shared_data / "salicon"))
    said = build(handler, tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (60, [])
    splits = Counter(item["split"] for item in handler.plan_items("key"))
    assert splits == {"train": 48, "validation": 12}


@pytest.mark.parametrize("config", [{}, {"square_crop": False, "image_size": [64, 96]}])
def test_portrait_seg(shared_data, tmp_path, config):
    handler = PortraitSegHandler(config, str(shared_data / "portrait_seg"))
    said = build(handler, tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (68, [])


def test_bad_salicon(shared_data, tmp_path):
    said = build(SaliconHandler({}, str(shared_data / "bad" / "salicon")), tmp_path / "shard")
    assert said["records"] == 0
    assert {bad["key"]: bad["reason"] for bad in said["skipped"]} == {
        "images/train/002.jpg": "an image without its map maps/train/002.png",
        "images/train/004.jpg": "the map is [128, 128], its image [256, 256]",
        "maps/train/orphan.png": "a map without its image images/train/orphan.jpg",
    }


def test_bad_portrait_seg(shared_data, tmp_path):
    handler = PortraitSegHandler({}, str(shared_data / "bad" / "portrait_seg"))
    said = build(handler, tmp_path / "shard")
    assert said["records"] == 0
    assert {bad["key"]: bad["reason"] for bad in said["skipped"]} == {
        "images/53.jpg": "the mask is [408, 612], its image [734, 1100]",
        "images/69.jpg": "the mask is [361, 692], its image [627, 1200]",
        "images/85.jpg": "the mask is [375, 666], its image [480, 852]",
        "images/95.jpg": "the mask is [500, 500], its image [767, 767]",
    }


def test_matting(shared_data, tmp_path):
    config = {"variations_per_sample": 5}
    said = build(MattingHandler(config, str(shared_data / "matting")), tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (30, [])


@pytest.mark.parametrize("config", [{}, {"relative_order": True}, {"depth_encoding": "uint16"}])
def test_portrait_depth(shared_data, tmp_path, config):
    handler = PortraitDepthHandler(config, str(shared_data / "portrait_depth"))
    said = build(handler, tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (18, [])


def test_bad_duts(shared_data, tmp_path):
    said = build(DutsHandler({}, str(shared_data / "bad" / "duts")), tmp_path / "shard")
    assert said["records"] == 2  # the 1-bit and the 3-channel mask
    assert {bad["key"]: bad["reason"] for bad in said["skipped"]} == {
        "DUTS-TR-Image/109053.jpg": "an image without its mask DUTS-TR-Mask/109053.png",
        "DUTS-TR-Mask/126007.png": "a mask without its image DUTS-TR-Image/126007.jpg",
        "DUTS-TR-Image/145086.jpg": "the mask is [160, 240], its image [321, 481]",
        "DUTS-TR-Image/156065.jpg": "the mask has no salient pixel",
    }


def test_bad_classification(shared_data, tmp_path):
    handler = ClassificationHandler({}, str(shared_data / "bad" / "classification"))
    said = build(handler, tmp_path / "shard")
    assert said["records"] == 5
    (bad,) = said["skipped"]
    assert bad["key"] == "broken_class/cut.jpg"
    assert "truncated" in bad["reason"]
    assert handler.feature_spec()["labels"]["label"] == ["ants", "broken_class", "same_twice"]


def test_bad_matting(shared_data, tmp_path):
    said = build(MattingHandler({}, str(shared_data / "bad" / "matting")), tmp_path / "shard")
    assert said["records"] == 1  # the alpha of three channels
    assert {bad["key"]: bad["reason"] for bad in said["skipped"]} == {
        "alpha/GT10.png": "an alpha without its foreground fg/GT10.png",
        "bg/zero.jpg": "a background that is an empty file",
    }


def test_bad_portrait_depth(shared_data, tmp_path):
    handler = PortraitDepthHandler({}, str(shared_data / "bad" / "portrait_depth"))
    said = build(handler, tmp_path / "shard")
    unknown = "depth_info.csv is missing, which says how its depth is encoded"
    assert said["records"] == 0
    assert {bad["key"]: bad["reason"] for bad in said["skipped"]} == {
        "images/exif6.jpg": unknown,
        "images/flat.jpg": unknown,
        "images/no_depth.jpg": "an image without its depth map depth/no_depth.png",
    }


def test_bad_portrait_depth_with_a_table(shared_data, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(shared_data / "bad" / "portrait_depth", raw)
    raw.chmod(0o755)
    (raw / "depth_info.csv").write_text(
        "name,encoding\n"
        'exif6,"near=bright, 8-bit relative disparity"\n'
        'flat,"16-bit, mm, 0=invalid"\n'
        'no_depth,"16-bit, mm, 0=invalid"\n'
    )
    said = build(PortraitDepthHandler({}, str(raw)), tmp_path / "shard")
    assert said["records"] == 0
    assert {bad["key"]: bad["reason"] for bad in said["skipped"]} == {
        "images/exif6.jpg": "the depth map is [576, 768], its image [1008, 756]",
        "images/flat.jpg": "the depth map has no valid pixel",
        "images/no_depth.jpg": "an image without its depth map depth/no_depth.png",
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_bad_files(shared_data, tmp_path, channels):
    """What Pillow loads becomes a record; what it does not load is named with a reason."""
    raw, expected = tmp_path / "raw", {}
    (raw / "class").mkdir(parents=True)
    with (shared_data / "bad" / "manifest.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["path"].startswith("files/"):
                name = Path(row["path"]).name
                shutil.copy(shared_data / "bad" / row["path"], raw / "class" / name)
                expected[f"class/{name}"] = row["pillow_loads"]
    config = {"image_size": [32, 32], "channels": channels}
    said = build(ClassificationHandler(config, str(raw)), tmp_path / "shard")
    skipped = {bad["key"]: bad["reason"] for bad in said["skipped"]}
    assert len(expected) == 34
    for key, loads in expected.items():
        assert loads == "maybe" or (loads == "no") == (key in skipped), (key, skipped.get(key))
    assert all(reason and "\n" not in reason for reason in skipped.values())
    assert said["records"] == 34 - len(skipped)
