"""All questions, one after the other, and the report over them: `python -m benchmarks`.

Each is asked in a process of its own. Its figures stay in `.cache/benchmarks`, so that one can be
asked again alone and the report, `docs/benchmarks.md`, still has the others:
`python -m benchmarks packing reading`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.measuring import ROUNDS, CannotMeasure
from benchmarks.questions import QUESTIONS, RESULTS
from benchmarks.report import write_report


def main() -> int:
    """Run as a command."""
    names = [question.name for question in QUESTIONS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("questions", nargs="*", metavar="question", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    parser.add_argument("--report-only", action="store_true", help="ask nothing, write the report")
    arguments = parser.parse_args()
    unknown = set(arguments.questions) - set(names)
    if unknown:
        parser.error(f"no question: {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    broken = []
    for name in [] if arguments.report_only else arguments.questions or names:
        print(f"-- {name}", flush=True)
        if not _ask(name, arguments.rounds):
            broken.append(name)
    try:
        write_report()
    except CannotMeasure as error:
        print(f"no report: {error}", file=sys.stderr)
        return 1
    for name in broken:
        print(f"{name} gave no answer: see above", file=sys.stderr)
    return 1 if broken else 0


def _ask(name: str, rounds: int) -> bool:
    """Have a question answered in a process; return whether there is an answer."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = RESULTS / f"{name}.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    subprocess.run([*command, "--rounds", str(rounds), "--json", str(result)], check=False)
    return result.is_file()


if __name__ == "__main__":
    sys.exit(main())
