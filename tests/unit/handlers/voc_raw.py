"""Annotations in XML as PASCAL VOC and ImageNet have them, for raw folders that tests draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.unit.handlers.pictures import save

Number = float | str


def object_xml(name: str, xmin: Number, ymin: Number, xmax: Number, ymax: Number) -> str:
    sides = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>"


def annotation_xml(objects: list[str], size: tuple[Number, Number] | None = None) -> bytes:
    """`size` is (height, width)."""
    told = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>" if size else ""
    return f"<annotation>{told}{''.join(objects)}</annotation>".encode()


def draw_marked(
    raw: Path,
    name: str,
    objects: list[str],
    size: tuple[int, int] = (60, 90),
    told: tuple[Number, Number] | None = None,
) -> None:
    """Write a blue picture, and an annotation that says its size, or `told` instead."""
    picture = np.full((*size, 3), (10, 20, 230), np.uint8)
    save(raw / "Data" / "DET" / "train" / f"{name}.JPEG", picture, quality=98, subsampling=0)
    write_annotation(raw, name, annotation_xml(objects, told or size))


def write_annotation(raw: Path, name: str, data: bytes) -> None:
    path = raw / "Annotations" / "DET" / "train" / f"{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def draw_object(
    raw: Path, name: str, category: str, box: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    """Write a blue picture that is red within the box (top, left, bottom, right) of its object."""
    top, left, bottom, right = box
    draw_marked(raw, name, [object_xml(category, left, top, right, bottom)], size)
    picture = np.full((*size, 3), (10, 20, 230), np.uint8)
    picture[top:bottom, left:right] = (230, 20, 10)
    path = raw / "Data" / "DET" / "train" / f"{name}.JPEG"
    save(path, picture, quality=98, subsampling=0)
