"""Plots as SVG inside the page. Bars stretch with it; words beside them are HTML, which does not.

Nothing here has a style of its own: the policy of the page forbids it, and the style sheet knows
both light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

_HEIGHT = 100
_GAP = 0.2
_LEAST_HEIGHT = 2.0
"""One of many must still be seen."""


def bar(share: float, kind: str = "") -> Markup:
    """Return a line that is filled so far, from 0 to 1."""
    width = 100 * min(1.0, max(0.0, share))
    return Markup(
        '<svg class="bar {}" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="ground" width="100" height="1"/><rect class="fill" width="{:.2f}" '
        'height="1"/></svg>'
    ).format(kind, width)


def columns(values: Sequence[float], titles: Sequence[str], said: str, kind: str = "") -> Markup:
    """Return a column per value, each with a title to hover over; `said` tells what they are."""
    most = max(values, default=0.0) or 1.0
    drawn = Markup("").join(
        _column(place, value / most, title)
        for place, (value, title) in enumerate(zip(values, titles, strict=True))
    )
    return Markup(
        '<svg class="columns {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>'
    ).format(kind, max(1, len(values)), _HEIGHT, said, drawn)


def _column(place: int, share: float, title: str) -> Markup:
    height = max(_LEAST_HEIGHT, _HEIGHT * share) if share else 0.0
    return Markup(
        '<g><title>{}</title><rect class="ground" x="{}" y="0" width="1" height="{}"/>'
        '<rect class="fill" x="{:.1f}" y="{:.2f}" width="{:.1f}" height="{:.2f}"/></g>'
    ).format(title, place, _HEIGHT, place + _GAP / 2, _HEIGHT - height, 1 - _GAP, height)
