"""The libraries' code for older processors gives the same shards.

Stands in for other machines: OpenCV leaves out what `OPENCV_CPU_DISABLE` names, Pillow's
libjpeg-turbo its vector code with `JSIMD_FORCENONE`. The libjpeg-turbo inside OpenCV's wheel has no
such switch; its vector code is made to give the bits of its plain code. NumPy leaves out what
`NPY_DISABLE_CPU_FEATURES` names, glibc's powers and sines what `GLIBC_TUNABLES` does.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__ as numpy_dispatch

from tests.unit.handlers.operations.test_color_profile import DISPLAY_P3, SRGB_CURVE, profile
from tests.unit.handlers.pictures import draw_pair, save

AVX = "AVX512-SKX,AVX2,FMA3,AVX,FP16"
SSE4 = "SSE4.2,SSE4.1,SSSE3,POPCNT"

SIZES = [
    {"image_size": [300, 280], "crop_size": [200, 200], "random_crop_centered": True},
    {"image_size": [300, 280], "crop_size": [200, 200], "random_crop": True},
    {"image_size": [64, 50]},
    {"image_size": [90, 90], "resize_mode": "fit", "pad_value": 7},
    {"image_size": [90, 90], "resize_mode": "fill"},
]
TONES = [
    {},
    {"exposure": 2},
    {"brightness": 0.3},
    {"contrast": 0.8},
    {"saturation": 0.8},
    {"hue_degrees": 180},
    {"gamma": 2},
    {"blur_sigma": 0.7},
    {"blur_sigma": 9},
    {"noise_sigma": 12},
    {"recompress_quality": [20, 90]},
    {"color_order": "bgr"},
    {"standardize": "metadata"},
    {"standardize": "applied"},
]
CONFIGS = [
    *[size | {"rotate_degrees": degrees} for size in SIZES for degrees in (0, 25)],
    *[{"image_size": [75, 82]} | tone for tone in TONES],
    {"image_size": [70, 90], "rotate_degrees": 180}
    | {name: value for tone in TONES for name, value in tone.items()},
]
RECORDS = 9

DUTS = ("dataset_handlers.duts", "DutsHandler")
SALICON = ("dataset_handlers.salicon", "SaliconHandler")
PORTRAIT = ("dataset_handlers.portrait_seg", "PortraitSegHandler")
CASES = [
    *[(DUTS, config) for config in CONFIGS],
    *[
        (handler, config | {"image_size": size, "rotate_degrees": 25})
        for handler, config, size in (
            (SALICON, {"smart_crop": [1, 1], "smart_crop_share": 0.8}, [90, 100]),
            (SALICON, {"smart_crop": [1, 1], "smart_crop_share": 0.8}, [200, 300]),
            (PORTRAIT, {}, [90, 90]),
            (PORTRAIT, {}, [200, 200]),
        )
    ],
]

PROGRAM = """
import hashlib
import importlib
import json
import sys
for (module, name), config in json.loads(sys.argv[3]):
    config |= {"variations_per_sample": 3, "flip_probability": 0.5}
    handler = getattr(importlib.import_module(module), name)(config, sys.argv[1])
    said = handler.write_shard(list(handler.plan_items("key")), sys.argv[2], "key")
    with open(sys.argv[2], "rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest(), said["records"])
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    for name in ("one", "two", "three"):
        draw_pair(folder, name, 120, 160)
        noise = rng.integers(0, 256, (120, 160, 3), np.uint8)
        save(folder / "DUTS-TR-Image" / f"{name}.jpg", noise)
        save(folder / "images" / f"{name}.jpg", noise)
        save(folder / "maps" / f"{name}.png", noise[..., 0])
        save(folder / "masks" / f"{name}.png", noise[..., 1])
    display_p3 = profile(DISPLAY_P3, SRGB_CURVE)
    save(folder / "DUTS-TR-Image" / "three.jpg", noise, icc_profile=display_p3)
    # One that goes through Pillow: two pictures in a file.
    save(folder / "DUTS-TR-Image" / "two.jpg", noise, format="MPO", save_all=True)
    return folder


@pytest.fixture(scope="module")
def as_it_is(raw, tmp_path_factory) -> list[str]:
    return digests(raw, tmp_path_factory.mktemp("here"), {})


def digests(raw, folder, environment: dict[str, str]) -> list[str]:
    """Return the digest of the shard of each config."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(raw), str(folder / "shard"), json.dumps(CASES)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [int(records) for _, records in lines] == [RECORDS] * len(CASES)
    assert len({digest for digest, _ in lines}) == len(CASES), "each config has its own"
    return [digest for digest, _ in lines]


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENCV_CPU_DISABLE": f"{AVX}", "JSIMD_FORCESSE2": "1"},
        {"OPENCV_CPU_DISABLE": f"{AVX},{SSE4}", "JSIMD_FORCENONE": "1", "OPENCV_IPP": "disabled"},
        {
            "NPY_DISABLE_CPU_FEATURES": " ".join(numpy_dispatch),
            "OPENBLAS_CORETYPE": "Nehalem",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4",
        },
    ],
    ids=["without AVX", "without SSE4, libjpeg without SIMD", "NumPy and libm without AVX"],
)
def test_older_processors(raw, as_it_is, tmp_path, environment):
    found = digests(raw, tmp_path, environment)
    pairs = zip(CASES, as_it_is, found, strict=True)
    assert [case for case, here, there in pairs if here != there] == []
