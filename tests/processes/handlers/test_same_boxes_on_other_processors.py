"""Boxes of rotated objects and pixels of 16 bits come out the same from code for older processors.

As in `test_same_bytes_on_other_processors`; NumPy and its BLAS have switches of their own.
"""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from tests.unit.handlers.voc_raw import draw_object

OLDER = {
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,AVX,FP16,SSE4.2,SSE4.1,SSSE3,POPCNT",
    "JSIMD_FORCENONE": "1",
}
PROGRAM = """
import hashlib, sys
from dataset_handlers.classification import ClassificationHandler
from dataset_handlers.imagenet_det import ImagenetDetHandler
moved = {"image_size": [90, 110], "rotate_degrees": 60, "crop_size": [70, 80], "random_crop": True,
         "flip_probability": 0.5, "variations_per_sample": 40}
deep = {"image_size": [37, 110], "bit_depth": 16, "image_encoding": "png"}
for handler in (ImagenetDetHandler(moved, sys.argv[1]), ClassificationHandler(deep, sys.argv[1])):
    said = handler.write_shard(list(handler.plan_items("key")), sys.argv[2], "key")
    with open(sys.argv[2], "rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest(), said["records"], said["skipped"])
"""


def digests(raw: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(raw), str(raw.parent / "shard")]
    environment = {**os.environ, **environment}
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_older_processors(tmp_path):
    raw = tmp_path / "raw"
    for number in range(5):
        draw_object(raw, f"n{number}", "thing", (9 + number, 20, 60, 77 + number), (120, 160))
    noise = np.random.default_rng(0).integers(0, 65536, (80, 70, 3)).astype(np.uint16)
    (raw / "one").mkdir()
    assert cv2.imwrite(str(raw / "one" / "a.png"), noise)
    as_it_is = digests(raw, {})
    assert " 200 []\n" in as_it_is and as_it_is.endswith(" 1 []\n")
    assert digests(raw, OLDER) == as_it_is
