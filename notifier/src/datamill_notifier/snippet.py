"""The lines of Python that get a dataset."""

from __future__ import annotations

from pprint import pformat

from datamill_builder.catalog.differences import Side

_WIDTH = 76


def snippet(asked: Side) -> str:
    """Return a script that asks for a dataset and reads it."""
    name, version = f'"{asked.dataset_name}"', f'"{asked.handler_version}"'
    first = f"dataset = datamill.request_dataset({name}, {version}, "
    literal = pformat(dict(asked.config), width=_WIDTH, sort_dicts=False)
    if "\n" in literal or len(first) + len(literal) > _WIDTH:
        inner = literal.replace("\n", "\n    ")
        call = f"dataset = datamill.request_dataset(\n    {name},\n    {version},\n    {inner},\n)"
    else:
        call = f"{first}{literal})"
    return (
        f"import datamill\n\n{call}\n"
        "folder = dataset.wait(progress=True)  # downloaded, verified, unpacked\n"
        'train = dataset.as_dataset(split="train")  # a tf.data.Dataset\n'
    )
