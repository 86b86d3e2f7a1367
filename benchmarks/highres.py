"""Small outputs (224x224) from large photographs, beside the same loop at full decoding.

The handler decodes a large JPEG at a half, a quarter or an eighth of its size, where that is still
not smaller than what is asked for: `reduced_decoding`, an option that can be switched off.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.photographs import BareLoop, link_classes
from benchmarks.service import cores, service

LIMIT = 2.0
PHOTOGRAPHS = 522
CONFIG = {"image_size": [224, 224]}


def measure(rounds: int) -> list[Comparison]:
    """Build and loop, in turns."""
    with service(DATAMILL_WORKERS=str(cores())) as running:
        paths = link_classes(running.raw / "classification", PHOTOGRAPHS, "highres")
        loop = BareLoop(full_decoding, cores())
        seeds = itertools.count()

        def build() -> float:
            config: dict[str, Any] = {**CONFIG, "seed": next(seeds)}
            client = running.client()
            with timed() as watch:
                dataset_id = client.ask("classification", "1.0.0", config)
                event = client.wait(dataset_id, timeout_secs=3600)
            client.close()
            assert event["event"] == "ready" and event["records"] == PHOTOGRAPHS, event
            return PHOTOGRAPHS / watch.secs

        try:
            ours, bare = in_turns([build, lambda: PHOTOGRAPHS / loop.secs(paths)], rounds)
        finally:
            loop.close()
    limit = Limit.times_at_least(LIMIT)
    return [
        Comparison("large photographs to 224x224", "records/s", ours, "OpenCV loop", bare, limit)
    ]


def full_decoding(path: Path) -> bytes:
    """Decode the whole of it, resize to 224x224 by area, encode; with OpenCV."""
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    pixels = cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return bytes(data)


if __name__ == "__main__":
    answer(__doc__, measure)
