"""What is compared on the command line: a dataset id, or a request in words or as JSON."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from datamill_producer.config_option import config_from

_HINT = (
    "a dataset id (or the first six characters of one), a request in quotes as after "
    "`datamill request` ('duts 1.0.0 -o jpeg_quality=90'), or @FILE with a request as JSON"
)


def parse_asked(text: str) -> str | dict[str, Any]:
    """Return a dataset id as it was given, or the document of a request.

    Raises `click.UsageError` where it is neither.
    """
    if text.startswith("@"):
        return _document(*_read(Path(text[1:])))
    if text.lstrip().startswith("{"):
        return _document(text, "it")
    if not any(character.isspace() for character in text.strip()):
        return text
    return _in_words(text)


def _in_words(text: str) -> dict[str, Any]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r}: {error}: give {_HINT}") from error
    if len(words) < 2:
        raise click.UsageError(f"{text!r}: give {_HINT}")
    name, version, *rest = words
    options: list[str] = []
    config: str | None = None
    while rest:
        if len(rest) < 2 or rest[0] not in ("-o", "--config"):
            raise click.UsageError(f"{text!r}: {rest[0]!r} is not understood: give {_HINT}")
        if rest[0] == "-o":
            options.append(rest[1])
        else:
            config = rest[1]
        rest = rest[2:]
    return {
        "dataset_name": name,
        "handler_version": version,
        "dataset_config": config_from(config, options),
    }


def _read(path: Path) -> tuple[str, str]:
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} can't be read: {error}") from error


def _document(text: str, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{source} is not JSON: {error}: give {_HINT}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{source} is not a JSON object: give {_HINT}")
    return document
