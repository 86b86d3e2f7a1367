"""`depth_info.csv`: how each depth map is encoded.

A header line, then a line per pair of image and depth map: `name` (their file names without
suffix), `encoding` (one of `depth_encodings.ENCODINGS`), where that needs them `near` and `far`,
and whatever else; UTF-8, comma-separated as RFC 4180 says.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

from dataset_handlers.depth_encodings import ENCODINGS, encoding_named
from dataset_handlers.sdk.errors import NoSourceItemsError, SourceReadError

TABLE = "depth_info.csv"

_LARGEST_BYTES = 2**28
"""Some millions of pairs."""
_LARGEST_RATIO = 1e9
"""Of the farthest distance to the nearest: what can still be computed with, and more than any."""
_SHOWN_CHARACTERS = 60


class Row(NamedTuple):
    """What the table says about one pair, as text."""

    line: int
    """Where it says so first, or where that row ends; the header's is 1."""
    times: int
    """How often."""
    encoding: str
    near: str
    far: str

    def problem(self) -> str | None:
        """Return why nothing can be made of it, or None if something can."""
        if self.times > 1:
            return f"{TABLE} has {self.times} rows for it, the first in line {self.line}"
        if not self.encoding.strip():
            return f"{TABLE} gives it no encoding in line {self.line}"
        name = encoding_named(self.encoding)
        if name is None:
            known = "; ".join(ENCODINGS)
            return f"{TABLE} says that its encoding is {shown(self.encoding)}; known are: {known}"
        if ENCODINGS[name].ranged and self._limits() is None:
            return (
                f"{TABLE} gives it near {shown(self.near)} and far {shown(self.far)}: {name} needs "
                "two numbers, 0 < near < far"
            )
        return None

    def meta(self) -> dict[str, Any]:
        """Return what `portrait_depth` wants to know of a row without a problem."""
        name = encoding_named(self.encoding)
        assert name is not None, "it has no problem"
        limits = self._limits() if ENCODINGS[name].ranged else None
        return {"encoding": name, "range": limits}

    def _limits(self) -> list[float] | None:
        try:
            near, far = float(self.near), float(self.far)
        except ValueError:
            return None
        return [near, far] if 0 < near < far <= near * _LARGEST_RATIO else None


def read_table(path: Path) -> dict[str, Row] | None:
    """Return the rows by name; None if there is no such file.

    Raises `NoSourceItemsError` if it is no table that can be read.
    """
    rows: dict[str, Row] = {}
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise _unreadable(f"it is larger than {_LARGEST_BYTES} bytes")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for column in ("name", "encoding"):
                if column not in (reader.fieldnames or ()):
                    raise _unreadable(f"its first line names no column {column}")
            for fields in reader:
                _add(rows, fields, reader.line_num)
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise _unreadable("it is not UTF-8") from error
    except csv.Error as error:
        raise _unreadable(str(error)) from error
    except OSError as error:
        raise SourceReadError(f"{TABLE} can't be read: {error.strerror}") from error
    return rows


def shown(text: str) -> str:
    """Return text of a stranger for a message: in quotes, not too long, on one line."""
    quoted = repr(text)
    return quoted if len(quoted) <= _SHOWN_CHARACTERS else f"{quoted[:_SHOWN_CHARACTERS]}…"


def _add(rows: dict[str, Row], fields: dict[str, Any], line: int) -> None:
    name, encoding, near, far = (
        fields.get(column) or "" for column in ("name", "encoding", "near", "far")
    )
    if name in rows:
        rows[name] = rows[name]._replace(times=rows[name].times + 1)
    else:
        rows[name] = Row(line, 1, encoding, near, far)


def _unreadable(why: str) -> NoSourceItemsError:
    return NoSourceItemsError(f"{TABLE} can't be read: {why}")
