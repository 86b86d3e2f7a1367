"""A raw folder in COCO's layout that tests draw themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.handlers.pictures import save

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 90, "name": "tree"}]
COLOURS = {7: (230, 20, 10), 3: (20, 230, 10), 90: (240, 240, 20)}
BLUE = (10, 20, 230)


def rectangle(top: int, left: int, bottom: int, right: int) -> list[float]:
    """The polygon that covers these pixels and no others."""
    return [left, top, right, top, right, bottom, left, bottom]


def runs_of(mask: np.ndarray) -> list[int]:
    """Uncompressed RLE: runs of 0, 1, 0 … column by column."""
    runs, value = [0], 0
    for pixel in mask.T.reshape(-1).tolist():
        if bool(pixel) != bool(value):
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


class CocoRaw:
    """A folder, written by `save`; entries may be spoiled before."""

    def __init__(self, folder: Path, name: str = "instances_train.json") -> None:
        self.folder, self.name = folder, name
        self.images: list[Any] = []
        self.annotations: list[Any] = []
        self.categories: list[Any] = [dict(category) for category in CATEGORIES]

    def picture(self, name: str = "one.jpg", size: tuple[int, int] = (60, 90)) -> int:
        """Add a blue picture and its entry; return its id."""
        image_id = 100 + len(self.images)
        entry = {"id": image_id, "file_name": name, "height": size[0], "width": size[1]}
        self.images.append(entry)
        self._draw(entry, np.full((*size, 3), BLUE, np.uint8))
        return image_id

    def object(
        self, image_id: int, category: int, box: tuple[int, int, int, int], **more: Any
    ) -> dict[str, Any]:
        """Add a rectangle in its category's colour, (top, left, bottom, right)."""
        top, left, bottom, right = box
        annotation = {
            "id": 1000 + len(self.annotations),
            "image_id": image_id,
            "category_id": category,
            "segmentation": [rectangle(*box)],
            "bbox": [left, top, right - left, bottom - top],
            "area": (bottom - top) * (right - left),
            "iscrowd": 0,
            **more,
        }
        self.annotations.append(annotation)
        entry = next(entry for entry in self.images if entry["id"] == image_id)
        pixels = self._pixels(entry).copy()
        pixels[top:bottom, left:right] = COLOURS[category]
        self._draw(entry, pixels)
        return annotation

    def save(self) -> Path:
        """Write the annotation file and return the raw folder."""
        path = self.folder / "annotations" / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(
                {
                    "info": {"year": 2026},
                    "images": self.images,
                    "annotations": self.annotations,
                    "categories": self.categories,
                }
            )
        )
        return self.folder

    def _draw(self, entry: dict[str, Any], pixels: np.ndarray) -> None:
        np.save(self._kept(entry), pixels)
        save(
            self.folder / "images" / entry["file_name"],
            pixels,
            format="JPEG",
            quality=98,
            subsampling=0,
        )

    def _pixels(self, entry: dict[str, Any]) -> np.ndarray:
        return np.load(self._kept(entry))

    def _kept(self, entry: dict[str, Any]) -> Path:
        kept = self.folder.parent / f"pixels-{self.name}-{entry['id']}.npy"
        kept.parent.mkdir(parents=True, exist_ok=True)
        return kept
