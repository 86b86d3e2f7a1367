"""What `datamill doctor` looks at for a builder: catalog, store, raw data, handler sources, uv."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException

import uv

from datamill.checkup import Check, Found, error, ok, warning
from datamill.errors import DatamillError, first_line
from datamill.logs import without_passwords
from datamill.settings import Settings
from datamill_builder.catalog import probe
from datamill_builder.catalog.schema import SCHEMA_VERSION
from datamill_builder.handlers.sources import (
    GitRepository,
    PackageIndex,
    Source,
    WheelFolder,
    parse_source,
    sources_of,
)
from datamill_builder.handlers.tools import SourceUnavailable, kill_tools

_UV_SECS = 5.0
_INDEX_SECS = 8.0
_WHEELS = "make setup builds the wheels of a checkout; else set DATAMILL_HANDLER_SOURCES"


def checks(settings: Settings) -> Iterator[Check]:
    """Yield the checks of what a builder with these settings needs."""
    yield Check("catalog", partial(_catalog, settings))
    yield Check("store", partial(_store, settings))
    yield Check("raw root", partial(_raw_root, settings))
    try:
        texts = list(sources_of(settings))
    except DatamillError as failure:
        texts = []
        yield Check("handler sources", partial(_wrong, first_line(failure)))
    else:
        if not texts:
            yield Check("handler sources", _no_sources)
    for text in texts:
        yield Check("handler source", partial(_source, text), kill_tools)
    yield Check("uv", _uv)


def _catalog(settings: Settings) -> Iterator[Found]:
    """Look at the catalog as it is: opened in earnest it would be made, or upgraded."""
    address = settings.catalog_address
    try:
        version = probe.schema_version(address)
    except DatamillError as failure:
        yield error(first_line(failure), "look at DATAMILL_CATALOG_URL, and at the database")
        return
    if version is None:
        yield ok("not there yet; the first builder makes it")
    elif version > SCHEMA_VERSION:
        yield error(
            f"it is of schema {version}, this Datamill of {SCHEMA_VERSION}", "upgrade Datamill"
        )
    elif version < SCHEMA_VERSION:
        yield warning(
            f"it is of schema {version}: the next start upgrades it to {SCHEMA_VERSION}",
            "nothing has to be done; a backup is kept",
        )
    else:
        yield ok(f"it can be read, and is of schema {version}")


def _store(settings: Settings) -> Iterator[Found]:
    root = settings.home / "store"
    if not root.exists():
        yield ok("not there yet; the first builder makes it")
        return
    locked = [
        folder.name
        for folder in (root, *(each for each in root.iterdir() if each.is_dir()))
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    ]
    if locked:
        yield error(f"can't be written to: {', '.join(locked)}", f"change the owner of {root}")
        return
    quarantined = root / "quarantine"
    damaged = len(list(quarantined.iterdir())) if quarantined.is_dir() else 0
    if damaged:
        yield warning(
            f"{damaged} damaged archives are in {quarantined}",
            "look at the disk; delete them when they are of no more use",
        )
    else:
        yield ok(f"{root}")


def _raw_root(settings: Settings) -> Iterator[Found]:
    root = settings.raw_folder
    if not root.is_dir():
        yield warning(f"{root} is no folder", "set DATAMILL_RAW_ROOT, or: datamill raw add FOLDER")
        return
    try:
        folders = [each for each in root.iterdir() if each.is_dir()]
    except PermissionError:
        yield error(f"{root} can't be read", "let the user of the builder read it")
        return
    closed = [each.name for each in folders if not os.access(each, os.R_OK | os.X_OK)]
    if closed:
        yield error(
            f"can't be read in {root}: {', '.join(sorted(closed)[:10])}",
            "let the user of the builder read them",
        )
    else:
        yield ok(f"{root}: {len(folders)} folders")
    for name, dataset in settings.datasets.items():
        folder = root / (dataset.raw or name)
        if dataset.raw and not folder.is_dir():
            yield error(
                f"[datasets.{name}] reads {folder}, which is no folder", "correct datamill.toml"
            )


def _source(text: str) -> Iterator[Found]:
    source, shown = parse_source(text), without_passwords(text)
    match source:
        case WheelFolder():
            yield _folder(source, shown)
        case GitRepository():
            yield _repository(source, shown)
        case PackageIndex():
            yield _index(source, shown)
        case _:
            yield _other(source, shown)


def _folder(source: WheelFolder, shown: str) -> Found:
    if not source.folder.is_dir():
        return error(f"{shown}: is no folder", _WHEELS)
    if unread := source.unread():
        return warning(f"{shown}: not read: {'; '.join(unread[:3])}", "build those wheels anew")
    count = len(source.wheels())
    said = f"{shown}: {count} wheel{'s' * (count != 1)}"
    return ok(said) if count else warning(said, _WHEELS)


def _repository(source: GitRepository, shown: str) -> Found:
    try:
        count = len(source.tags())
    except SourceUnavailable as failure:
        return error(f"{shown}: {first_line(failure)}", "look at its address, and the network")
    return ok(f"{shown}: {count} tags that are versions")


def _index(source: PackageIndex, shown: str) -> Found:
    url = f"{source.address.rstrip('/')}/{source.packages[0]}/"
    try:
        with urllib.request.urlopen(url, timeout=_INDEX_SECS):
            return ok(f"{shown}: it answers for {source.packages[0]}")
    except urllib.error.HTTPError as failure:
        with failure:
            return warning(
                f"{shown}: {failure.code} for {source.packages[0]}", "look at #package=NAME"
            )
    except (OSError, HTTPException, ValueError) as failure:
        return error(f"{shown}: {first_line(failure)}", "look at its address, and the network")


def _other(_source: Source, shown: str) -> Found:
    return ok(f"{shown}: can't be looked at")


def _no_sources() -> Iterator[Found]:
    yield error("there are none", _WHEELS)


def _wrong(why: str) -> Iterator[Found]:
    yield error(why, "correct the setting")


def _uv() -> Iterator[Found]:
    try:
        done = subprocess.run(
            [uv.find_uv_bin(), "--version"], capture_output=True, text=True, timeout=_UV_SECS
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        yield error(f"it can't be run: {first_line(failure)}", "pip install --force-reinstall uv")
        return
    yield ok(done.stdout.strip() or f"exit code {done.returncode}")
