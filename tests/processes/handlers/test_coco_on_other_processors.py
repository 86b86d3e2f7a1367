"""Objects, their masks and clicks on them are the same on older processors, in any order."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes.handlers.test_same_bytes_on_other_processors import AVX, SSE4
from tests.unit.handlers.coco_raw import CocoRaw

PROGRAM = """
import hashlib
import sys
from dataset_handlers.coco import CocoHandler
from dataset_handlers.coco_clicks import CocoClicksHandler
raw, path, turned = sys.argv[1:]
for handler in (CocoHandler, CocoClicksHandler):
    for size, crop in (([150, 140], [100, 100]), ([64, 50], None)):
        config = {"image_size": size, "crop_size": crop, "random_crop": True, "contrast": 0.3,
                  "variations_per_sample": 3, "flip_probability": 0.5, "rotate_degrees": 30,
                  "border_distance": 2, "click_distance": 5, "band_width": 20}
        known = handler.config_options()
        made = handler({name: config[name] for name in config if name in known}, raw)
        items = list(made.plan_items("key"))
        for item in reversed(items) if turned == "yes" else items:
            made.write_shard([item], path, "key")
            with open(path, "rb") as file:
                print(item["key"], hashlib.file_digest(file, "sha256").hexdigest())
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    raw = CocoRaw(tmp_path_factory.mktemp("coco") / "raw")
    for name in ("one.jpg", "two.jpg"):
        image = raw.picture(name, (120, 160))
        raw.object(
            image, 7, (10, 20, 60, 90), segmentation=[[20.5, 10.3, 90, 22, 71.7, 60, 33, 51]]
        )
        raw.object(image, 3, (50, 80, 110, 150))
        raw.object(image, 90, (80, 5, 110, 60), segmentation=None)
    return raw.save()


@pytest.fixture(scope="module")
def as_it_is(raw, tmp_path_factory) -> list[str]:
    return digests(raw, tmp_path_factory.mktemp("here"))


def digests(raw, folder, environment=None, turned="no") -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(raw), str(folder / "shard"), turned],
        env={**os.environ, **(environment or {})},
        check=True,
        capture_output=True,
        text=True,
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 2 * 2 + 2 * 6
    return lines


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENCV_CPU_DISABLE": AVX, "JSIMD_FORCESSE2": "1"},
        {"OPENCV_CPU_DISABLE": f"{AVX},{SSE4}", "JSIMD_FORCENONE": "1", "OPENCV_IPP": "disabled"},
        {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4", "OPENBLAS_CORETYPE": "Nehalem"},
    ],
    ids=["without AVX", "without SSE4, libjpeg without SIMD", "NumPy without AVX"],
)
def test_older_processors(raw, as_it_is, tmp_path, environment):
    assert digests(raw, tmp_path, environment) == as_it_is


def test_items_in_another_order(raw, as_it_is, tmp_path):
    assert sorted(digests(raw, tmp_path, turned="yes")) == sorted(as_it_is)
