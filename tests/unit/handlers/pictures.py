"""Small raw folders that tests draw themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def gradient(height: int, width: int) -> np.ndarray:
    """RGB: red to the right, green downwards, blue 128."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = np.linspace(0, 255, height)[:, np.newaxis]
    picture[..., 2] = 128
    return picture


def save(path: Path, pixels: np.ndarray, **settings: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)


def draw_pair(folder: Path, name: str, height: int = 60, width: int = 90) -> np.ndarray:
    """Write a picture that is red where its mask is 255, and blue elsewhere; return the mask."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 3 :] = 255
    picture = np.full((height, width, 3), (10, 20, 230), np.uint8)
    picture[mask > 0] = (230, 20, 10)
    save(folder / "DUTS-TR-Image" / f"{name}.jpg", picture, quality=98, subsampling=0)
    save(folder / "DUTS-TR-Mask" / f"{name}.png", mask)
    return mask
