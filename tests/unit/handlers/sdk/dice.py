"""A handler that needs no images: each line of a text file throws a die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dataset_handlers.sdk import (
    BadItemError,
    BaseOptions,
    Feature,
    RecordHandler,
    Scalar,
    SourceItem,
    Tensor,
    Text,
    visible_files,
)


class DiceOptions(BaseOptions):
    input_attributes: tuple[str, ...] = ("text",)


class DiceHandler(RecordHandler):
    name, version = "dice", "2.0.0"
    layout = "*.txt"
    Options = DiceOptions

    def source_items(self) -> Iterator[SourceItem]:
        for name in visible_files(self.base_path, {".txt"}):
            yield SourceItem(name, {"text": name}, {"length": len(name)})

    def features(self) -> dict[str, Feature]:
        return {"text": Text(), "dice": Scalar(), "floats": Tensor((None,), "float32")}

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        text = self.read_source(item.files["text"])
        if text == b"bad":
            raise BadItemError("it says so\nitself")
        if text == b"bad later" and variation == 2:
            raise BadItemError("the third is bad")
        dice = int(rng.integers(1, 7))
        return {"text": text, "dice": dice, "floats": rng.random(variation).astype(np.float32)}


def dice_folder(folder: Path, count: int = 0, **texts: str) -> str:
    """Write `<name>.txt` files: `count` numbered ones, and those that are given."""
    folder.mkdir(exist_ok=True)
    numbered = {f"n{number:03d}": f"text {number}" for number in range(count)}
    for name, text in (numbered | texts).items():
        (folder / f"{name}.txt").write_text(text)
    return str(folder)
