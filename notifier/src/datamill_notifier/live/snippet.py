"""The lines of Python that get a dataset."""

from __future__ import annotations

from pprint import pformat
from typing import Any

_WIDTH = 76


def snippet(dataset_name: str, handler_version: str, config: dict[str, Any]) -> str:
    """Return a script that asks for a dataset and reads it."""
    first = f"dataset = datamill.request_dataset({dataset_name!r}, {handler_version!r}, "
    literal = pformat(config, width=_WIDTH, sort_dicts=False)
    if "\n" in literal or len(first) + len(literal) > _WIDTH:
        inner = literal.replace("\n", "\n    ")
        call = (
            "dataset = datamill.request_dataset(\n"
            f"    {dataset_name!r},\n    {handler_version!r},\n    {inner},\n)"
        )
    else:
        call = f"{first}{literal})"
    return (
        f"import datamill\n\n{call}\n"
        "folder = dataset.wait(progress=True)  # downloaded, verified, unpacked\n"
        'train = dataset.as_dataset(split="train")  # a tf.data.Dataset\n'
    )
