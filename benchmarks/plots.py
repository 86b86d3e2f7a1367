"""Draws the plots of the report: figures as JSON from standard input, PNG files into a folder.

Run by the Python of the peers, which alone has matplotlib; so it imports nothing of ours.
"""

from __future__ import annotations

import json
import statistics
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

_OURS, _PEER, _MISSED = "#2a6f97", "#b8b8b8", "#bc4b51"
_TITLE_CHARACTERS, _LABEL_CHARACTERS = 38, 20


def overview(questions: list[dict[str, Any]], path: Path) -> None:
    """Every score as a share of its limit: right of the line is better than it has to be."""
    figures = [figure for question in questions for figure in question["figures"]][::-1]
    fig, axes = plt.subplots(figsize=(12, 0.28 * len(figures) + 1.4))
    for place, figure in enumerate(figures):
        margins = [_margin(score, figure) for score in figure["scores"]]
        middle = _margin(figure["score"], figure)
        colour = _OURS if figure["reached"] else _MISSED
        axes.plot([min(margins), max(margins)], [place, place], color=colour, alpha=0.4, lw=4)
        axes.plot(middle, place, "o", color=colour)
    axes.axvline(1, color="black", lw=1)
    axes.set_xscale("log")
    axes.margins(y=0.01)
    names = [", beside ".join(filter(None, (f["question"], f["peer_name"]))) for f in figures]
    axes.set_yticks(range(len(figures)), names, fontsize=8)
    axes.set_xlabel("how far beyond its limit, times (1: just reached; left: not reached)")
    axes.grid(axis="x", alpha=0.3)
    _save(fig, path)


def _margin(score: float, figure: dict[str, Any]) -> float:
    """Return how many times better than its limit a score is; differences below 0 count as tiny."""
    best, least = 100.0, 0.01
    limit: float = figure["limit"]
    under = limit / score if score > 0 else best
    margin = score / limit if figure["at_least"] else under
    return min(best, max(least, margin))


def question_plot(question: dict[str, Any], path: Path) -> None:
    """Ours and the peer's of each round, side by side."""
    figures = question["figures"]
    columns = min(4, len(figures))
    rows = -(-len(figures) // columns)
    fig, grid = plt.subplots(rows, columns, figsize=(3.1 * columns, 2.9 * rows), squeeze=False)
    for axes in grid.flat[len(figures) :]:
        axes.axis("off")
    for axes, figure in zip(grid.flat, figures, strict=False):
        series = [("Datamill", figure["ours"], _OURS)]
        if figure["peer"]:
            series.append((figure["peer_name"], figure["peer"], _PEER))
        for place, (_, values, colour) in enumerate(series):
            axes.bar(place, statistics.median(values), color=colour, width=0.6)
            axes.plot([place] * len(values), values, ".", color="black", alpha=0.6, ms=4)
        names = [textwrap.fill(name, _LABEL_CHARACTERS) for name, _, _ in series]
        axes.set_xticks(range(len(series)), names, fontsize=7)
        axes.set_xlim(-0.6, 1.6)  # one alone is no wider than two
        axes.set_ylabel(figure["unit"], fontsize=8)
        axes.set_title(textwrap.fill(figure["question"], _TITLE_CHARACTERS), fontsize=8)
        axes.tick_params(axis="y", labelsize=7)
    _save(fig, path)


def _save(fig: Any, path: Path) -> None:
    fig.tight_layout()
    fig.savefig(path, dpi=90)
    plt.close(fig)


def main() -> None:
    """Draw everything."""
    questions, folder = json.load(sys.stdin), Path(sys.argv[1])
    overview(questions, folder / "overview.png")
    for question in questions:
        question_plot(question, folder / f"{question['name']}.png")


if __name__ == "__main__":
    main()
