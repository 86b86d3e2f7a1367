"""Query parameters, checked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from datamill_builder.catalog.lifecycle import storable
from datamill_notifier.problems import invalid

MAX_LIMIT = 10_000
"""The longest list that is given at once."""

_DIGITS = re.compile(r"[0-9]{1,9}\Z", re.ASCII)
_BYTES = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?\Z", re.ASCII)

Word = TypeVar("Word", bound=StrEnum)


def text_of(request: web.Request, name: str) -> str | None:
    """Return a text that a database can be asked for; None where it is not given."""
    text = request.query.get(name)
    return None if text is None else storable(text)


def dataset_of(request: web.Request) -> str:
    """Return what the path calls a dataset, as a text that a database can be asked for."""
    return storable(request.match_info["dataset_id"])


def limit_of(request: web.Request, default: int) -> int:
    """Return `limit`: from 1 to the longest list."""
    text = request.query.get("limit")
    if text is None:
        return default
    if not _DIGITS.match(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise invalid(f"limit: {text[:40]!r} is not a number from 1 to {MAX_LIMIT}")
    return int(text)


def word_of(request: web.Request, name: str, words: type[Word]) -> Word | None:
    """Return a parameter that is one of several words; None where it is not given."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return words(text)
    except ValueError as error:
        raise invalid(f"{name}: {text[:40]!r} is none of {', '.join(words)}") from error


def seconds_of(request: web.Request, name: str, longest: float) -> float:
    """Return a number of seconds, from 0 to the longest; that where it is not given."""
    text = request.query.get(name)
    if text is None:
        return longest
    if not _SECONDS.match(text) or float(text) > longest:
        raise invalid(f"{name}: {text[:40]!r} is not a number from 0 to {longest:g}")
    return float(text)


def flag_of(request: web.Request, name: str) -> bool:
    """Return a parameter that is 0 or 1; 0 where it is not given."""
    text = request.query.get(name, "0")
    if text not in ("0", "1"):
        raise invalid(f"{name}: {text[:40]!r} is neither 0 nor 1")
    return text == "1"


def bytes_of(request: web.Request, name: str) -> int | None:
    """Return a number of bytes; None where it is not given."""
    text = request.query.get(name)
    if text is None:
        return None
    if not _BYTES.match(text):
        raise invalid(f"{name}: {text[:40]!r} is not a number of bytes")
    return int(text)


def time_of(request: web.Request, name: str) -> float | None:
    """Return a time in seconds since the epoch, given so or in RFC 3339; UTC if it has no zone."""
    text = request.query.get(name)
    if text is None:
        return None
    if _SECONDS.match(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        shown = repr(text[:40])
        raise invalid(f"{name}: {shown} is no time; 2026-01-31T12:00:00Z is one") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
