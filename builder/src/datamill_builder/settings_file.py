"""Adding a dataset to `datamill.toml`, which somebody wrote by hand: nothing else is touched."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from datamill.errors import SettingsError
from datamill.settings import SETTINGS_FILE


def add_dataset(home: Path, name: str, entry: dict[str, str]) -> Path:
    """Append `[datasets.<name>]` to the home's settings; return the file.

    What is there stays as it is, comments included; the file is replaced whole or not at all.
    Raises `SettingsError` where it can't be read, or has no place for such a table at its end.
    """
    file = home / SETTINGS_FILE
    text = _read(file)
    before = _parsed(text, "it")
    added = _table(name, entry)
    gap = "" if not text else ("\n" if text.endswith("\n") else "\n\n")
    after = f"{text}{gap}{added}"
    wanted = {**before, "datasets": {**before.get("datasets", {}), name: entry}}
    try:
        fits = name not in before.get("datasets", {}) and tomllib.loads(after) == wanted
    except tomllib.TOMLDecodeError:
        fits = False  # as where `datasets` is written in one line
    if not fits:
        raise SettingsError(f"{SETTINGS_FILE}: write it yourself, beside what is there: {added!r}")
    _replace(file, after)
    return file


def _table(name: str, entry: dict[str, str]) -> str:
    # TOML's basic strings have JSON's escapes.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in entry.items()]
    return f"[datasets.{name}]\n{''.join(lines)}"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{SETTINGS_FILE}: {error}") from error


def _parsed(text: str, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{SETTINGS_FILE}: {what} can't be read: {error}") from error


def _replace(file: Path, text: str) -> None:
    target = file.resolve()  # it may be a link into somebody's repository
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
