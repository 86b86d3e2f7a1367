"""Writes docs/benchmarks.md from the figures that were measured last."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measuring import CannotMeasure
from benchmarks.questions import QUESTIONS, RESULTS, Question

_ROOT = Path(__file__).resolve().parents[1]
_DOCS = _ROOT / "docs"
_PEERS_PYTHON = _ROOT / ".cache" / "peers" / "bin" / "python"
_PACKAGES = ("tensorflow-cpu", "opencv-python-headless", "numpy", "pika", "aiohttp", "sqlalchemy")
_HEAD = """# Benchmarks

Written by `make bench`. Each figure of Datamill stands beside a peer or a limit that was measured
in the same run, in turns; what counts is the ratio, or the difference, of each round. Figures are
medians, with the lowest and highest round in brackets. The code is in `benchmarks/`, a file per
question, each with what exactly is measured in its first lines.

"""


def write_report() -> None:
    """Write the report and its plots from what is in `.cache/benchmarks`."""
    asked = [(question, _figures(question)) for question in QUESTIONS]
    answered = [(question, figures) for question, figures in asked if figures]
    plots = _draw(answered)
    parts = [_HEAD, *_machine(), "\n", _summary(answered)]
    if "overview" in plots:
        parts.append("\n![Every figure beside its limit](benchmarks/overview.png)\n")
    for question, figures in answered:
        parts.append(_section(question, figures, question.name in plots))
    missing = [question.title for question, figures in asked if not figures]
    if missing:
        parts.append(f"\nNot measured: {'; '.join(missing)}.\n")
    _DOCS.mkdir(exist_ok=True)
    (_DOCS / "benchmarks.md").write_text("".join(parts), encoding="utf-8")


def _figures(question: Question) -> list[dict[str, Any]]:
    path = RESULTS / f"{question.name}.json"
    return list(json.loads(path.read_text())) if path.is_file() else []


def _summary(answered: Sequence[tuple[Question, list[dict[str, Any]]]]) -> str:
    rows = [figure for _, figures in answered for figure in figures]
    lines = [
        f"{sum(figure['reached'] for figure in rows)} of {len(rows)} limits are reached.\n\n",
        "| figure | Datamill | beside | | ratio or difference | wanted | reached |\n",
        "| --- | --- | --- | --- | --- | --- | --- |\n",
    ]
    return "".join([*lines, *map(_row, rows)])


def _row(figure: dict[str, Any]) -> str:
    ours = f"{_number(statistics.median(figure['ours']))} {figure['unit']}"
    peer = _number(statistics.median(figure["peer"])) if figure["peer_name"] else ""
    low, high = min(figure["scores"]), max(figure["scores"])
    score = f"**{_number(figure['score'])}** ({_number(low)} to {_number(high)})"
    cells = (
        figure["question"],
        ours,
        figure["peer_name"],
        peer,
        score,
        figure["wanted"],
        "yes" if figure["reached"] else "**no**",
    )
    return f"| {' | '.join(cells)} |\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _section(question: Question, figures: list[dict[str, Any]], plotted: bool) -> str:
    picture = f"\n![{question.title}](benchmarks/{question.name}.png)\n" if plotted else ""
    told = dict.fromkeys(f"{each['question']}: {each['note']}" for each in figures if each["note"])
    notes = "".join(f"\n{note}\n" for note in told)
    missed = "" if all(figure["reached"] for figure in figures) else f"\n{question.shortfall}\n"
    return f"\n## {question.title}\n\n`benchmarks/{question.name}.py`\n{notes}{missed}{picture}"


def _machine() -> Iterator[str]:
    """Yield what was measured on, without what is nobody's business."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    yield "| | |\n| --- | --- |\n"
    yield f"| day | {time.strftime('%Y-%m-%d')} |\n"
    yield f"| processor | {_processor()}, {len(os.sched_getaffinity(0))} cores |\n"
    yield f"| memory | {memory_bytes / 2**30:.0f} GiB |\n"
    yield f"| system | {platform.system()} {platform.release()}, {platform.machine()} |\n"
    yield f"| Python | {platform.python_version()}; {packages} |\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _draw(answered: Sequence[tuple[Question, list[dict[str, Any]]]]) -> set[str]:
    """Have the plots drawn; return the names of those that there are.

    By the Python of the peers, which has matplotlib: nothing else of the workspace needs it.
    """
    folder = _DOCS / "benchmarks"
    if not _PEERS_PYTHON.exists():
        raise CannotMeasure("plots are drawn with what `make bench-setup` installs: run it first")
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.png"):
        stale.unlink()
    told = [
        {"name": question.name, "title": question.title, "figures": figures}
        for question, figures in answered
    ]
    script = str(Path(__file__).with_name("plots.py"))
    command = [str(_PEERS_PYTHON), script, str(folder)]
    subprocess.run(command, input=json.dumps(told), text=True, check=True)
    return {path.stem for path in folder.glob("*.png")}
