"""What is checked of the home: who may read what, and whether it can be written to."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datamill.checkup import Check, Found, error, ok, warning
from datamill.settings import SETTINGS_FILE, Settings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SECRETS = ("run.json", "admin-token", "broker/password", "broker/rabbitmq.conf")
"""Files with passwords in them."""
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def home_checks(settings: Settings) -> Iterator[Check]:
    """Yield the checks of the home and the cache."""
    yield Check("home", partial(_home, settings.home))
    yield Check("secrets", partial(_secrets, settings.home))
    yield Check("cache", partial(_folder, settings.cache, "DATAMILL_CACHE"))


def _home(home: Path) -> Iterator[Found]:
    yield from _folder(home, "DATAMILL_HOME")
    if not home.is_dir():
        return
    mode = home.stat().st_mode
    if mode & _OTHERS_MAY_WRITE:
        yield error(
            f"others may write to {home} (mode {stat.filemode(mode)})", f"chmod go-w {home}"
        )
    settings = home / SETTINGS_FILE
    if settings.exists():
        yield ok(f"{SETTINGS_FILE} is there and can be read")


def _folder(folder: Path, setting: str) -> Iterator[Found]:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        yield error(f"{there} is no folder", f"choose another: {setting}")
    elif not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        whose = "it" if there == folder else f"{there}, where it would be made,"
        yield error(f"{folder}: {whose} can't be written to", f"change its owner, or {setting}")
    elif there != folder:
        yield ok(f"{folder} is not there yet; it is made when it is needed")
    else:
        yield ok(f"{folder}")


def _secrets(home: Path) -> Iterator[Found]:
    there = [home / name for name in _SECRETS if _exists(home / name)]
    if not there:
        yield ok("none are kept here yet")
        return
    good = True
    for path in there:
        found = path.stat()
        if found.st_mode & _OTHERS:
            good = False
            mode = stat.filemode(found.st_mode)
            yield error(f"others may read {path} (mode {mode})", f"chmod go= {path}")
        elif found.st_uid != os.getuid():
            good = False
            yield warning(
                f"{path} belongs to another user ({found.st_uid})",
                "run this as the user of the service",
            )
    if good:
        names = ", ".join(str(path.relative_to(home)) for path in there)
        yield ok(f"for their owner alone: {names}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False
