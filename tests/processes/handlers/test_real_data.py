"""Real pictures, good and bad, from ../shared/data: a function per handler and folder."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dataset_handlers.classification import ClassificationHandler
from dataset_handlers.duts import DutsHandler
from dataset_handlers.imagenet_det import ImagenetDetHandler
from dataset_handlers.matting import MattingHandler
from dataset_handlers.portrait_depth import PortraitDepthHandler
from dataset_handlers.portrait_seg import PortraitSegHandler
from dataset_handlers.salicon import SaliconHandler
from dataset_handlers.sdk import RecordHandler
from tests.unit.handlers.reading import read_records

SMALL = {"image_size": [64, 64]}


class Built(NamedTuple):
    """What came of all source items. `skipped`: key → reason."""

    handler: RecordHandler
    records: list[dict[str, list[Any]]]
    skipped: dict[str, str]

    @property
    def labels(self) -> dict[str, list[str]]:
        return self.handler.feature_spec()["labels"]


Build = Callable[..., Built]


@pytest.fixture
def build(shared_data: Path, tmp_path: Path) -> Build:
    """Build a folder of the shared data, or another one; `bad/<name>` are the bad ones."""

    def build_it(handler_class: type[RecordHandler], raw: str | Path, **config: Any) -> Built:
        handler = handler_class(config, str(shared_data / raw))
        path = tmp_path / "shard"
        said = handler.write_shard(list(handler.plan_items("key")), str(path), "key")
        records = read_records(path)
        assert said["records"] == len(records)
        skipped = {bad["key"]: bad["reason"] for bad in said["skipped"]}
        assert len(skipped) == len(said["skipped"])
        assert all(reason and "\n" not in reason for reason in skipped.values())
        return Built(handler, records, skipped)

    return build_it


def test_duts(build: Build) -> None:
    built = build(DutsHandler, "duts", **SMALL)
    assert (len(built.records), built.skipped) == (78, {})


def test_bad_duts(build: Build) -> None:
    built = build(DutsHandler, "bad/duts")
    assert len(built.records) == 2  # the 1-bit and the 3-channel mask
    assert built.skipped == {
        "DUTS-TR-Image/109053.jpg": "an image without its mask DUTS-TR-Mask/109053.png",
        "DUTS-TR-Mask/126007.png": "a mask without its image DUTS-TR-Image/126007.jpg",
        "DUTS-TR-Image/145086.jpg": "the mask is [160, 240], its image [321, 481]",
        "DUTS-TR-Image/156065.jpg": "the mask has no salient pixel: none reaches 128 of 255",
    }


def test_classification(build: Build) -> None:
    built = build(ClassificationHandler, "classification", **SMALL)
    assert (len(built.records), built.skipped) == (54, {})
    assert built.labels == {"label": ["ants", "bees"]}


def test_bad_classification(build: Build) -> None:
    built = build(ClassificationHandler, "bad/classification")
    assert len(built.records) == 5
    ((key, reason),) = built.skipped.items()
    assert key == "broken_class/cut.jpg"
    assert "truncated" in reason
    assert built.labels["label"] == ["ants", "broken_class", "same_twice"]


def test_imagenet_det(build: Build) -> None:
    built = build(ImagenetDetHandler, "imagenet_det", **SMALL)
    assert (len(built.records), built.skipped) == (107, {})
    assert built.labels == {"label": ["background", "Platelets", "RBC", "WBC", "raccoon"]}
    by_label = [0] * 5
    for record in built.records:
        by_label[record["label"][0]] += 1
    assert by_label[0] == by_label[1] == 0
    assert (by_label[2] + by_label[3], by_label[4]) == (21, 86)


def test_bad_imagenet_det(build: Build) -> None:
    built = build(ImagenetDetHandler, "bad/imagenet_det")
    folder = "DET/train/ILSVRC2013_train/raccoon"
    assert built.skipped == {
        f"Annotations/{folder}/missing_image.xml": (
            "there is no image of its name in Data/DET/train"
        ),
        f"Data/{folder}/missing_xml.JPEG": (
            "there is no annotation of its name in Annotations/DET/train"
        ),
        f"Data/{folder}/cut_xml.JPEG": (
            "annotation: it is no XML that can be read, from line 15 on"
        ),
        f"Data/{folder}/swapped_size.JPEG": (
            "the annotation is of an image of [480, 640], it is [640, 480]"
        ),
    }
    # A picture that shows none of them, a box that reaches outside, another one without area.
    names = built.labels["label"]
    assert names == ["background", "RBC", "WBC", "raccoon"]
    labels = sorted(names[record["label"][0]] for record in built.records)
    assert labels == ["WBC", "background", "raccoon"]


@pytest.mark.parametrize("config", [{}, {"smart_crop": [1, 1], **SMALL}])
def test_salicon(build: Build, config: dict[str, Any]) -> None:
    built = build(SaliconHandler, "salicon", **config)
    assert (len(built.records), built.skipped) == (60, {})
    splits = Counter(item["split"] for item in built.handler.plan_items("key"))
    assert splits == {"train": 48, "validation": 12}


def test_bad_salicon(build: Build) -> None:
    built = build(SaliconHandler, "bad/salicon")
    assert built.records == []
    assert built.skipped == {
        "images/train/002.jpg": "an image without its map maps/train/002.png",
        "images/train/004.jpg": "the map is [128, 128], its image [256, 256]",
        "maps/train/orphan.png": "a map without its image images/train/orphan.jpg",
    }


@pytest.mark.parametrize("config", [{}, {"square_crop": False, "image_size": [64, 96]}])
def test_portrait_seg(build: Build, config: dict[str, Any]) -> None:
    built = build(PortraitSegHandler, "portrait_seg", **config)
    assert (len(built.records), built.skipped) == (68, {})


def test_bad_portrait_seg(build: Build) -> None:
    built = build(PortraitSegHandler, "bad/portrait_seg")
    assert built.records == []
    assert built.skipped == {
        "images/53.jpg": "the mask is [408, 612], its image [734, 1100]",
        "images/69.jpg": "the mask is [361, 692], its image [627, 1200]",
        "images/85.jpg": "the mask is [375, 666], its image [480, 852]",
        "images/95.jpg": "the mask is [500, 500], its image [767, 767]",
    }


def test_matting(build: Build) -> None:
    built = build(MattingHandler, "matting", variations_per_sample=5)
    assert (len(built.records), built.skipped) == (30, {})


def test_bad_matting(build: Build) -> None:
    built = build(MattingHandler, "bad/matting")
    assert len(built.records) == 1  # the alpha of three channels
    assert built.skipped == {
        "alpha/GT10.png": "an alpha without its foreground fg/GT10.png",
        "bg/zero.jpg": "a background that is an empty file",
    }


@pytest.mark.parametrize("config", [{}, {"relative_order": True}, {"depth_encoding": "uint16"}])
def test_portrait_depth(build: Build, config: dict[str, Any]) -> None:
    built = build(PortraitDepthHandler, "portrait_depth", **config)
    assert (len(built.records), built.skipped) == (18, {})


def test_bad_portrait_depth(build: Build) -> None:
    built = build(PortraitDepthHandler, "bad/portrait_depth")
    unknown = "depth_info.csv is missing, which says how its depth is encoded"
    assert built.records == []
    assert built.skipped == {
        "images/exif6.jpg": unknown,
        "images/flat.jpg": unknown,
        "images/no_depth.jpg": "an image without its depth map depth/no_depth.png",
    }


def test_bad_portrait_depth_with_a_table(shared_data: Path, tmp_path: Path, build: Build) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(shared_data / "bad" / "portrait_depth", raw)
    raw.chmod(0o755)
    (raw / "depth_info.csv").write_text(
        "name,encoding\n"
        'exif6,"near=bright, 8-bit relative disparity"\n'
        'flat,"16-bit, mm, 0=invalid"\n'
        'no_depth,"16-bit, mm, 0=invalid"\n'
    )
    built = build(PortraitDepthHandler, raw)
    assert built.records == []
    assert built.skipped == {
        "images/exif6.jpg": "the depth map is [576, 768], its image [1008, 756]",
        "images/flat.jpg": "the depth map has no valid pixel",
        "images/no_depth.jpg": "an image without its depth map depth/no_depth.png",
    }


@pytest.mark.parametrize("depth", [{}, {"bit_depth": 16, "image_encoding": "png"}])
@pytest.mark.parametrize("channels", [1, 3])
def test_bad_files(
    build: Build, shared_data: Path, tmp_path: Path, channels: int, depth: dict[str, Any]
) -> None:
    """What Pillow loads becomes a record; what it does not load is named with a reason."""
    raw, expected = tmp_path / "raw", {}
    (raw / "class").mkdir(parents=True)
    with (shared_data / "bad" / "manifest.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["path"].startswith("files/"):
                name = Path(row["path"]).name
                shutil.copy(shared_data / "bad" / row["path"], raw / "class" / name)
                expected[f"class/{name}"] = row["pillow_loads"]
    built = build(ClassificationHandler, raw, image_size=[32, 32], channels=channels, **depth)
    skipped = built.skipped
    assert len(expected) == 34
    for key, loads in expected.items():
        assert loads == "maybe" or (loads == "no") == (key in skipped), (key, skipped.get(key))
    assert len(built.records) == 34 - len(skipped)
