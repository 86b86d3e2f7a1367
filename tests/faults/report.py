"""Writes `docs/faults.md` from what the tests saw: `python -m tests.faults.report`.

`make faults` and `make soak` run it at their end. It fails where a row of the table has no test
that passed.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.soak.verdict import FOLDER as SOAK_FOLDER
from tests.support.fault import FOLDER

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
ROWS = range(1, 41)

_HEAD = """\
# Faults

Written by `make faults`, which injects each of these for real: processes killed, paused and
stopped, the broker stopped, killed and starved, networks cut, disks filled, bits flipped, clocks
moved, downloads cut, archives and requests that attack. Seconds are from the fault to the answer
or to the work going on, on a shared machine with two cores.

After each row marked ✓ a check of everything found: each accepted request answered, and who waited
told; at most one archive per content, with the digest that the catalog says; nothing left behind
by work that nobody does any more; queues and outbox empty; nothing partial that others can read.

| | fault | what was seen | seconds | ✓ |
| --- | --- | --- | --- | --- |
"""

_SOAK_TITLE = "\n## Long random runs\n"
_SOAK_HEAD = f"""{_SOAK_TITLE}
Written by `make soak`: two builders, a notifier and a broker, 44 plain AMQP
clients and 6 real ones with repeated, aliased, invalid and cancelled requests, and every few
seconds one of the faults above, as the seed says. Afterwards everybody must have the right answer,
the invariants hold, and the history of all changes in the catalog, written by triggers inside the
transactions that made them, is checked by a model: states and fences only go forward, one epoch
publishes once, the same content has the same bytes at all times, each accepted request is answered.
What the broker does not come back from by itself within 45 s, its operator helps with: that is
counted.

| seed | minutes | faults | requests accepted | answers | downloads verified | builds | \
changes checked | longest answer, s | queues that the broker lost | broker helped | wrong |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def main(arguments: list[str]) -> int:
    """Write the report; return 1 if a row is missing. `--runs`: only what it says of long runs."""
    soaked = [json.loads(file.read_text()) for file in sorted(SOAK_FOLDER.glob("*.json"))]
    runs = "".join([_SOAK_HEAD, *map(_soak_line, soaked)] if soaked else [])
    if "--runs" in arguments:
        faults = DOCUMENT.read_text(encoding="utf-8").partition(_SOAK_TITLE)[0]
        DOCUMENT.write_text(faults + runs, encoding="utf-8")
        print(f"{DOCUMENT.name}: {len(soaked)} long runs")
        return 0
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for file in sorted(FOLDER.glob("*.json")):
        seen = json.loads(file.read_text(encoding="utf-8"))
        rows[seen["number"]].append(seen)
    DOCUMENT.parent.mkdir(exist_ok=True)
    lines = [_line(seen) for number in sorted(rows) for seen in rows[number]]
    DOCUMENT.write_text(_HEAD + "".join(lines) + runs, encoding="utf-8")
    missing = [number for number in ROWS if number not in rows]
    tests = sum(map(len, rows.values()))
    print(f"{DOCUMENT.name}: {tests} tests of {len(rows)} faults, {len(soaked)} long runs")
    if missing:
        print(f"no test passed for: {', '.join(map(str, missing))}", file=sys.stderr)
    return 1 if missing else 0


def _line(seen: dict[str, Any]) -> str:
    secs = "" if seen["secs"] is None else f"{seen['secs']:.1f}"
    words = "; ".join(seen["seen"]).replace("|", "\\|").replace("\n", " ")
    mark = "✓" if seen["invariants"] else ""
    return f"| {seen['number']} | {seen['what']} | {words} | {secs} | {mark} |\n"


def _soak_line(document: dict[str, Any]) -> str:
    figures, wrong = document["figures"], document["wrong"]
    cells = [
        figures["seed"],
        figures["minutes"],
        figures["faults"],
        figures["requests accepted"],
        sum(figures["answers to plain clients"].values()),
        figures["outcomes of real clients"].get("ready", 0),
        sum(figures["builds"].values()),
        figures["changes in the history"],
        figures["median, 99 %, longest answer (s)"][-1],
        figures.get("queues lost by the broker", 0),
        figures.get("broker mended by hand", 0),
        "; ".join(wrong) or "nothing",
    ]
    return "| " + " | ".join(map(str, cells)) + " |\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
