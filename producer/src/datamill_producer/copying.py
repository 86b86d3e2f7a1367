"""Copying an unpacked dataset out of the cache."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from datamill.errors import DatamillError


class TargetInUse(DatamillError):
    """The folder to unpack to is not empty."""


def copy_folder(source: Path, target: Path) -> Path:
    """Copy a folder's files to a folder that is not there or empty; whole or not at all.

    Returns the absolute target. Raises `TargetInUse`, or `DatamillError` where it can't be written.
    """
    target = target.absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise TargetInUse(f"{target} is there and is no empty folder: choose another")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
            copy = Path(temporary) / "files"
            shutil.copytree(source, copy)
            copy.rename(target)
    except OSError as error:
        raise DatamillError(f"{target} can't be written: {error}") from error
    return target
