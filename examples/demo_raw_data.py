"""Raw data for the demo: real pictures that installed packages carry, nothing is downloaded.

Both folders are laid out as the handler `classification` reads them: a folder per class.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOGRAPHS = {
    "animals": ["chelsea.png"],
    "people": ["astronaut.png", "camera.png"],
    "sky": ["hubble_deep_field.jpg", "moon.png", "rocket.jpg"],
    "textures": ["brick.png", "grass.png", "gravel.png"],
    "things": ["coffee.png", "coins.png", "motorcycle_left.png"],
}
"""Those of scikit-image that lie in its wheel; the others would be fetched."""

_LONGEST_SIDE = 800


def write_raw_data(folder: Path) -> None:
    """Write `digits` and `photographs` below a folder, each whole or not at all."""
    _write_whole(folder / "digits", write_digits)
    _write_whole(folder / "photographs", write_photographs)


def write_digits(folder: Path) -> None:
    """Write 1,797 handwritten digits of 8 by 8 pixels, `<digit>/<number>.png`.

    Source: scikit-learn's digits, the test set of the UCI "Optical Recognition of Handwritten
    Digits"; values go from 0 (paper) to 16 (ink).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    for number, (image, digit) in enumerate(zip(pixels, digits.target, strict=True)):
        file = folder / str(digit) / f"{number:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)


def write_photographs(folder: Path) -> None:
    """Write photographs, `<class>/<name>.jpg`, the longest side 800 pixels at most."""
    source = files("skimage") / "data"
    for name, photographs in PHOTOGRAPHS.items():
        (folder / name).mkdir(parents=True)
        for photograph in photographs:
            with (source / photograph).open("rb") as file, Image.open(file) as image:
                image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
                target = folder / name / photograph
                image.convert("RGB").save(target.with_suffix(".jpg"), quality=95)


def _write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Write into a folder beside, then rename: an interrupted demo leaves no half of it."""
    if folder.is_dir():
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write(unfinished)
    unfinished.rename(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: demo_raw_data.py FOLDER")
    write_raw_data(Path(sys.argv[1]))
