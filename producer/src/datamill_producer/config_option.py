"""A dataset's config on the command line: `--config` and `-o KEY=VALUE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click


def config_from(given: str | None, options: Iterable[str]) -> dict[str, Any]:
    """Return the config: the one given (JSON, `@file`, `-` for stdin), with options over it.

    A value of an option is JSON where it can be read so, else text. Raises `click.UsageError`.
    """
    config = _document(given) if given is not None else {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise click.UsageError(f"-o {option}: write KEY=VALUE, as in -o 'image_size=[64,64]'")
        config[key] = _value(value)
    return config


def _document(given: str) -> dict[str, Any]:
    text, source = _text(given)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--config: {source} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"--config: {source} is not a JSON object, as in {{}}")
    return document


def _text(given: str) -> tuple[str, str]:
    if given == "-":
        return sys.stdin.read(), "what came on stdin"
    if not given.startswith("@"):
        return given, "it"
    path = Path(given[1:])
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--config: {path} can't be read: {error}") from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
