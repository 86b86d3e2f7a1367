"""The `Range` header field (RFC 9110, section 14): which bytes somebody asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNIT = re.compile(r"\s*bytes=(?P<set>.*)\Z", re.IGNORECASE | re.ASCII | re.DOTALL)
_SPEC = re.compile(r"(?P<first>[0-9]{0,1000})-(?P<last>[0-9]{0,1000})\Z", re.ASCII)


@dataclass(frozen=True)
class ByteRange:
    """`length` bytes from `start` on."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """Return the `Content-Range` of these bytes of `size`."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class Unsatisfiable(ValueError):
    """The range lies outside of what there is: 416."""


def parse_range(field: str, size: int) -> ByteRange | None:
    """Return the bytes that a `Range` field asks for, of a representation of `size` bytes.

    None where the field is to be ignored and everything sent: another unit, malformed, several
    ranges (a server may ignore those), or nothing there to cut. Raises `Unsatisfiable`.
    """
    unit = _UNIT.match(field)
    if unit is None:
        return None
    specs = [spec.strip(" \t") for spec in unit["set"].split(",")]
    specs = [spec for spec in specs if spec]  # empty elements of a list don't count (5.6.1.2)
    match = _SPEC.match(specs[0]) if len(specs) == 1 else None
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        return _suffix(int(match["last"]), size)
    return _between(int(match["first"]), int(match["last"]) if match["last"] else None, size)


def _suffix(length: int, size: int) -> ByteRange | None:
    if length == 0:
        raise Unsatisfiable
    if size == 0:
        return None  # satisfiable, but no Content-Range can say so
    length = min(length, size)
    return ByteRange(size - length, length)


def _between(first: int, last: int | None, size: int) -> ByteRange | None:
    if last is not None and last < first:
        return None  # malformed, so ignored
    if first >= size:
        raise Unsatisfiable
    end = size if last is None else min(last + 1, size)
    return ByteRange(first, end - first)
