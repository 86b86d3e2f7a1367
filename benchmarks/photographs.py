"""The photographs that benchmarks read, and the published example's transform as a bare loop."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import Any

import cv2
import numpy as np

from benchmarks.measuring import CannotMeasure

Loop = Callable[[Path], object]

_SMALL_ONES = 100
"""So many different ones: a file system has a limit of links to each."""


class NoPhotographs(CannotMeasure):
    """There is no folder of photographs."""


def folder_of_photographs() -> Path:
    """Return the folder that DATAMILL_BENCH_PHOTOS names, or the one beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "bench"
    folder = Path(os.environ.get("DATAMILL_BENCH_PHOTOS", default))
    if not folder.is_dir():
        raise NoPhotographs(f"no photographs in {folder}: set DATAMILL_BENCH_PHOTOS to a folder")
    return folder


def photographs(kind: str = "photos") -> list[Path]:
    """Return the photographs of a subfolder, or of the folder itself where there is none."""
    folder = folder_of_photographs()
    folder = folder / kind if (folder / kind).is_dir() else folder
    suffixes = {".jpg", ".jpeg"}
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def link_classes(target: Path, count: int, kind: str = "photos", classes: int = 2) -> list[Path]:
    """Lay out `count` photographs as `<class>/<number>.jpg`.

    They are hard links, as a folder of photographs has no symbolic ones, to copies of those that
    there are in `<target>-sources`, on the same file system.
    """
    sources = target.with_name(f"{target.name}-sources")
    sources.mkdir(parents=True)
    copies = [Path(copy(path, sources)) for path in photographs(kind)]
    return _linked(target, count, copies, classes)


def link_small(target: Path, count: int, side: int, classes: int = 2) -> None:
    """Lay out `count` photographs, reduced to `side` by `side` pixels, as `link_classes` does."""
    sources, made = target.with_name(f"{target.name}-sources"), []
    sources.mkdir(parents=True)
    for photograph in photographs()[:_SMALL_ONES]:
        pixels = cv2.imread(str(photograph), cv2.IMREAD_COLOR)
        assert pixels is not None
        made.append(sources / photograph.name)
        cv2.imwrite(str(made[-1]), cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA))
    _linked(target, count, made, classes)


def _linked(target: Path, count: int, sources: list[Path], classes: int) -> list[Path]:
    links = []
    for number in range(classes):
        (target / f"class{number}").mkdir(parents=True)
    for number in range(count):
        links.append(target / f"class{number % classes}" / f"{number:07d}.jpg")
        links[-1].hardlink_to(sources[number % len(sources)])
    return links


def published_example(path: Path) -> bytes:
    """Decode, resize to 1024x1024, crop 800x800 from the centre, encode; with OpenCV."""
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    pixels = cv2.resize(pixels, (1024, 1024), interpolation=cv2.INTER_LINEAR)
    done, data = cv2.imencode(".jpg", pixels[112:912, 112:912], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return bytes(data)


EXAMPLE_CONFIG = {"image_size": [1024, 1024], "crop_size": [800, 800], "jpeg_quality": 95}


class BareLoop:
    """The transform in as many processes as there are cores, results thrown away.

    The processes are started beforehand: their start does not count.
    """

    def __init__(self, loop: Loop, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Any] = []
        self._processes = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, loop), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def secs(self, paths: list[Path]) -> float:
        """Return how long all of them take together."""
        began = time.perf_counter()
        for number, pipe in enumerate(self._pipes):
            pipe.send(paths[number :: len(self._pipes)])
        for pipe in self._pipes:
            pipe.recv()
        return time.perf_counter() - began

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(10)


def _serve(pipe: Any, loop: Loop) -> None:
    cv2.setNumThreads(1)
    pipe.send("ready")
    while True:
        paths = pipe.recv()
        for path in paths:
            loop(path)
        pipe.send("done")
