"""Raw data of real photographs, those that scikit-image's wheel holds."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from PIL import Image, ImageDraw

CLASSES = {"people": ["astronaut.png", "camera.png"], "things": ["coffee.png", "coins.png"]}


def write_classes(folder: Path, copies: int = 1) -> int:
    """Write `<class>/<name>.jpg` for the handler `classification`; return how many."""
    written = 0
    for name, photographs in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for photograph in photographs:
            for copy in range(copies):
                image = _read(photograph).rotate(5 * copy)
                image.save(folder / name / f"{Path(photograph).stem}-{copy}.jpg", quality=95)
                written += 1
    return written


def write_pairs(folder: Path) -> int:
    """Write images and masks (an ellipse) for the handler `duts`; return how many."""
    for name in ("DUTS-TR-Image", "DUTS-TR-Mask"):
        (folder / name).mkdir(parents=True)
    photographs = [name for names in CLASSES.values() for name in names]
    for number, photograph in enumerate(photographs):
        image = _read(photograph)
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).ellipse((20 * number, 30, image.width - 40, image.height - 20), 255)
        image.save(folder / "DUTS-TR-Image" / f"{number}.jpg", quality=95)
        mask.save(folder / "DUTS-TR-Mask" / f"{number}.png")
    return len(photographs)


def _read(name: str) -> Image.Image:
    with as_file(files("skimage") / "data" / name) as path, Image.open(path) as image:
        shown = image.convert("RGB")
        shown.thumbnail((320, 320))
        return shown
