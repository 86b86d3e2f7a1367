"""What is checked of the machine: Python, open files, disks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datamill.checkup import Check, Found, error, ok, warning
from datamill.settings import Settings
from datamill.table import size

_PYTHONS = ((3, 11), (3, 14))
"""From, and up to but without."""
_FEW_FILES = 1024
_LITTLE_FREE_BYTES = 10 * 10**9
_NEXT_TO_NOTHING_BYTES = 10**9
_TENSORFLOW = ("tensorflow", "tensorflow-cpu")


def machine_checks(settings: Settings) -> Iterator[Check]:
    """Yield the checks of the machine that this runs on."""
    yield Check("Python", _python)
    yield Check("TensorFlow", _tensorflow)
    yield Check("open files", _open_files)
    for name, folder in {
        "disk of the home": settings.home,
        "disk of the store": settings.home / "store",
        "disk of the cache": settings.cache,
    }.items():
        yield Check(name, partial(_disk, folder))


def _python() -> Iterator[Found]:
    version = platform.python_version()
    least, below = _PYTHONS
    if least <= sys.version_info[:2] < below:
        yield ok(f"Python {version}, datamill {importlib.metadata.version('datamill')}")
    else:
        told = f"{least[0]}.{least[1]} to {below[0]}.{below[1] - 1}"
        yield error(f"Python {version} is not supported", f"use Python {told}")


def _tensorflow() -> Iterator[Found]:
    """Say which there is: it is never loaded for that, and nothing but trainings needs it."""
    for name in _TENSORFLOW:
        try:
            yield ok(f"{name} {importlib.metadata.version(name)}")
            return
        except importlib.metadata.PackageNotFoundError:
            continue
    yield ok("not installed: as_numpy() and reader() need none, as_dataset() does")


def _open_files() -> Iterator[Found]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft > _FEW_FILES:
        yield ok("no limit" if soft == resource.RLIM_INFINITY else f"a process may have {soft}")
        return
    most = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    yield warning(
        f"a process may have {soft}, which many downloads at once use up",
        f"raise it before the service starts: ulimit -n {most}, or LimitNOFILE= of its unit",
    )


def _disk(folder: Path) -> Iterator[Found]:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    total = found.f_blocks * found.f_frsize
    said = f"{size(free)} free of {size(total)} at {there}"
    advice = "make room: `datamill list --sort size`, or set DATAMILL_STORE_BUDGET_BYTES"
    if free < _NEXT_TO_NOTHING_BYTES:
        yield error(said, advice)
    elif free < _LITTLE_FREE_BYTES:
        yield warning(said, advice)
    else:
        yield ok(said)
    if found.f_files and found.f_favail < found.f_files // 100:
        yield error(
            f"{found.f_favail} more files can be made there", "delete small files: inodes run out"
        )
