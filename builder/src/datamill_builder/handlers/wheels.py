"""Reading what a wheel says about itself."""

from __future__ import annotations

import configparser
import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from email.parser import BytesParser
from functools import lru_cache
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from datamill.errors import DatamillError
from datamill_builder.store import file_mark

ENTRY_POINT_GROUP = "datamill.handlers"


class BadWheel(DatamillError):
    """The file is no wheel that this Python can use."""


class OtherPlatform(BadWheel):
    """The wheel is for another platform or Python."""


@dataclass(frozen=True)
class WheelInfo:
    """Name and version of a wheel's package, and its handlers: name → `module:Class`."""

    package: str
    version: str
    handlers: dict[str, str]


def inspect_wheel(path: Path) -> WheelInfo:
    """Return what a wheel says about itself; raise `BadWheel`."""
    return _inspect(path, file_mark(path))


@lru_cache(maxsize=1024)
def _inspect(path: Path, _mark: str | None) -> WheelInfo:
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            names = {
                name.split("/", 1)[-1]: name for name in archive.namelist() if ".dist-info/" in name
            }
            metadata = BytesParser().parsebytes(archive.read(names["METADATA"]))
            entry_points = (
                archive.read(names["entry_points.txt"]) if "entry_points.txt" in names else b""
            )
    except (InvalidWheelFilename, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadWheel(f"{path.name} can't be read as a wheel: {error}") from error
    except (KeyError, OSError, NotImplementedError, RuntimeError) as error:
        raise BadWheel(f"{path.name} can't be read as a wheel: {error}") from error
    if not tags & set(sys_tags()):
        raise OtherPlatform(f"{path.name} is for another platform or Python")
    try:
        handlers = _handlers(entry_points.decode("utf-8", "replace"))
    except configparser.Error as error:
        why = " ".join(str(error).split())
        raise BadWheel(f"{path.name}: its entry_points.txt can't be read: {why}") from error
    info = WheelInfo(str(metadata["Name"]), str(metadata["Version"]), handlers)
    if canonicalize_name(info.package) != name or not same_version(info.version, str(version)):
        raise BadWheel(f"{path.name} says in its metadata that it is {info.package} {info.version}")
    return info


def _handlers(entry_points: str) -> dict[str, str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(entry_points)
    return dict(parser[ENTRY_POINT_GROUP]) if parser.has_section(ENTRY_POINT_GROUP) else {}


def same_version(one: str, other: str) -> bool:
    """Return whether two spellings mean one version (`1.0` and `1.0.0` do)."""
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
