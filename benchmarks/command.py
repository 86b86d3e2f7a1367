"""What every question is asked by when it is run alone: `python -m benchmarks.packing`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks.measuring import ROUNDS, CannotMeasure, Comparison


def answer(doc: str | None, measure: Callable[[int], Sequence[Comparison]]) -> NoReturn:
    """Measure, print a line per comparison, and exit with 1 if one misses its limit."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    parser.add_argument("--json", type=Path, help="a file that gets the figures as well")
    arguments = parser.parse_args()
    try:
        comparisons = measure(arguments.rounds)
    except CannotMeasure as error:
        sys.exit(f"not measured: {error}")
    for comparison in comparisons:
        print(comparison.line(), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([each.as_json() for each in comparisons]))
    sys.exit(0 if all(each.reached for each in comparisons) else 1)
