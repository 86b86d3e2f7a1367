"""Text in columns, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

_GAP = "  "
_UNITS = ("B", "kB", "MB", "GB", "TB")


def table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows with their columns aligned, one line each; None is empty."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def size(count_bytes: int | None) -> str:
    """Return a number of bytes with a decimal unit: `12.3 MB`; empty for None."""
    if count_bytes is None:
        return ""
    value = float(count_bytes)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the last unit takes everything")
