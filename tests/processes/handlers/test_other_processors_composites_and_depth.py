"""As `test_same_bytes_on_other_processors`, for what composites and depth maps go through."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__ as numpy_dispatch

from tests.processes.handlers.test_same_bytes_on_other_processors import AVX, SSE4
from tests.unit.handlers.pictures import save

PROGRAM = """
import hashlib
import sys
from dataset_handlers.matting import MattingHandler
from dataset_handlers.portrait_depth import PortraitDepthHandler
geometry = {"variations_per_sample": 3, "flip_probability": 0.5, "contrast": 0.3}
for size, crop in (([300, 280], [200, 200]), ([64, 50], None)):
    config = {**geometry, "image_size": size, "crop_size": crop, "random_crop": bool(crop)}
    for degrees in (0, 25):
        for handler in (MattingHandler, PortraitDepthHandler):
            made = handler({**config, "rotate_degrees": degrees}, f"{sys.argv[1]}/{handler.name}")
            said = made.write_shard(list(made.plan_items("key")), sys.argv[2], "key")
            with open(sys.argv[2], "rb") as file:
                print(hashlib.file_digest(file, "sha256").hexdigest(), said["records"])
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    matting, depth = folder / "matting", folder / "portrait_depth"
    for name in ("one", "two"):
        save(matting / "fg" / f"{name}.png", rng.integers(0, 256, (120, 160, 3), np.uint8))
        save(matting / "alpha" / f"{name}.png", rng.integers(0, 256, (120, 160), np.uint8))
        save(matting / "bg" / f"{name}.jpg", rng.integers(0, 256, (700, 500, 3), np.uint8))
        save(depth / "images" / f"{name}.jpg", rng.integers(0, 256, (120, 160, 3), np.uint8))
        save(depth / "depth" / f"{name}.png", rng.integers(0, 2**16, (120, 160), np.uint16))
    (depth / "depth_info.csv").write_text(
        'name,encoding,near,far\none,"16-bit, mm, 0=invalid",,\ntwo,RangeInverse,0.3,7.7\n'
    )
    return folder


def digests(raw: Path, folder: Path, environment: dict[str, str]) -> str:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(raw), str(folder / "shard")],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout.count(" 6\n") == 8
    return result.stdout


def test_older_processors(raw, tmp_path):
    as_it_is = digests(raw, tmp_path, {})
    assert digests(raw, tmp_path, {"OPENCV_CPU_DISABLE": AVX, "JSIMD_FORCESSE2": "1"}) == as_it_is
    oldest = {
        "OPENCV_CPU_DISABLE": f"{AVX},{SSE4}",
        "OPENCV_IPP": "disabled",
        "JSIMD_FORCENONE": "1",
        "NPY_DISABLE_CPU_FEATURES": " ".join(numpy_dispatch),
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4",
    }
    assert digests(raw, tmp_path, oldest) == as_it_is
