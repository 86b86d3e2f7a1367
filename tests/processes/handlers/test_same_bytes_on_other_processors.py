"""The libraries' code for older processors gives the same shards.

Stands in for other machines: OpenCV leaves out what `OPENCV_CPU_DISABLE` names, Pillow's
libjpeg-turbo its vector code with `JSIMD_FORCENONE`. The libjpeg-turbo inside OpenCV's wheel has no
such switch; its vector code is made to give the bits of its plain code.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.unit.handlers.pictures import draw_pair, save

AVX = "AVX512-SKX,AVX2,FMA3,AVX,FP16"
SSE4 = "SSE4.2,SSE4.1,SSSE3,POPCNT"

PROGRAM = """
import hashlib
import sys
from dataset_handlers.duts import DutsHandler
from dataset_handlers.portrait_seg import PortraitSegHandler
from dataset_handlers.salicon import SaliconHandler

def write(handler):
    said = handler.write_shard(list(handler.plan_items("key")), sys.argv[2], "key")
    with open(sys.argv[2], "rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest(), said["records"])

for size, crop in (([300, 280], [200, 200]), ([64, 50], None)):
    config = {"image_size": size, "crop_size": crop, "random_crop_centered": True,
              "variations_per_sample": 3, "flip_probability": 0.5, "brightness": 0.3}
    for degrees in (0, 25):
        write(DutsHandler(config | {"rotate_degrees": degrees}, sys.argv[1]))
moved = {"rotate_degrees": 25, "flip_probability": 0.5, "variations_per_sample": 3}
for size in ([90, 100], [200, 300]):
    smart = {"image_size": size, "smart_crop": [1, 1], "smart_crop_share": 0.8}
    write(SaliconHandler(smart | moved, sys.argv[1]))
    write(PortraitSegHandler({"image_size": [size[0]] * 2} | moved, sys.argv[1]))
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        draw_pair(folder, name, 120, 160)
        noise = rng.integers(0, 256, (120, 160, 3), np.uint8)
        save(folder / "DUTS-TR-Image" / f"{name}.jpg", noise)
        save(folder / "images" / f"{name}.jpg", noise)
        save(folder / "maps" / f"{name}.png", noise[..., 0])
        save(folder / "masks" / f"{name}.png", noise[..., 1])
    # One that goes through Pillow: two pictures in a file.
    save(folder / "DUTS-TR-Image" / "two.jpg", noise, format="MPO", save_all=True)
    return folder


@pytest.fixture(scope="module")
def as_it_is(raw, tmp_path_factory) -> str:
    return digests(raw, tmp_path_factory.mktemp("here"), {})


def digests(raw, folder, environment: dict[str, str]) -> str:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(raw), str(folder / "shard")],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout.count(" 6\n") == 8
    return result.stdout


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENCV_CPU_DISABLE": f"{AVX}", "JSIMD_FORCESSE2": "1"},
        {"OPENCV_CPU_DISABLE": f"{AVX},{SSE4}", "JSIMD_FORCENONE": "1", "OPENCV_IPP": "disabled"},
    ],
    ids=["without AVX", "without SSE4, libjpeg without SIMD"],
)
def test_older_processors(raw, as_it_is, tmp_path, environment):
    assert digests(raw, tmp_path, environment) == as_it_is
