"""Conditional requests (RFC 9110, section 13) for what has a strong ETag and no date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from datamill_notifier.ranges import ByteRange, Unsatisfiable, parse_range

_TAG = r'(?:W/)?"[^\x00-\x20"\x7f]*"'
_TAG_LIST = re.compile(rf"[ \t,]*(?:{_TAG}[ \t]*(?:,[ \t,]*|\Z))*\Z")
_EACH_TAG = re.compile(r'(?P<weak>W/)?(?P<opaque>"[^"]*")')


class Outcome(Enum):
    """What a request for bytes comes to."""

    WHOLE = 200
    PART = 206
    NOT_MODIFIED = 304
    PRECONDITION_FAILED = 412
    UNSATISFIABLE = 416


@dataclass(frozen=True)
class Answer:
    """What to answer; `part` is set where a part is to be sent."""

    outcome: Outcome
    part: ByteRange | None = None


def evaluate(method: str, fields: Mapping[str, str], etag: str, size: int) -> Answer:
    """Return the answer to GET or HEAD, in the order of section 13.2.2.

    `fields` holds the request's fields, those that came twice joined by a comma; `etag` is the
    strong entity tag with its quotes. Fields with dates are ignored, as they must be where a
    resource has no modification date.
    """
    if_match = fields.get("If-Match")
    if if_match is not None and not _any_matches(if_match, etag, weakly=False):
        return Answer(Outcome.PRECONDITION_FAILED)
    if_none_match = fields.get("If-None-Match")
    if if_none_match is not None and _any_matches(if_none_match, etag, weakly=True):
        return Answer(Outcome.NOT_MODIFIED)
    # Range handling is defined for GET alone (14.2).
    if method != "GET" or not _range_applies(fields.get("If-Range"), etag):
        return Answer(Outcome.WHOLE)
    return _ranged(fields.get("Range"), size)


def _ranged(field: str | None, size: int) -> Answer:
    try:
        part = parse_range(field, size) if field is not None else None
    except Unsatisfiable:
        return Answer(Outcome.UNSATISFIABLE)
    return Answer(Outcome.PART, part) if part else Answer(Outcome.WHOLE)


def _any_matches(field: str, etag: str, *, weakly: bool) -> bool:
    if field.strip() == "*":
        return True
    if _TAG_LIST.match(field) is None:
        return False
    return any(
        tag["opaque"] == etag and (weakly or not tag["weak"]) for tag in _EACH_TAG.finditer(field)
    )


def _range_applies(if_range: str | None, etag: str) -> bool:
    # A date never matches: there is no modification date to compare it with (13.1.5).
    return if_range is None or if_range.strip() == etag
