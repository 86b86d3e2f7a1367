"""The README as a sequence of things to do, in its own order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"

_FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN_HERE = {"text", "sql"}
"""Pictures; and what test_upgrade.py runs on older catalogs."""
_FILE_NAME = re.compile(r"# (?P<path>[\w~./-]+\.(?:py|toml))\n")
_PROMPT = "$ "


@dataclass(frozen=True)
class Command:
    """A line after `$ ` in a ```console block, and the lines of output that follow it."""

    line: str
    output: tuple[str, ...]


@dataclass(frozen=True)
class Snippet:
    """A ```python block that is run."""

    source: str


@dataclass(frozen=True)
class File:
    """A block whose first line is a comment with a path: it is written there."""

    path: str
    text: str


Step = Command | Snippet | File


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and body of every fenced block."""
    for fence in _FENCE.finditer(text):
        yield fence["language"], fence["body"]


def steps(text: str) -> Iterator[Step]:
    """Yield what the README tells its reader to do. Raises `ValueError` for an odd block."""
    for language, body in blocks(text):
        named = _FILE_NAME.match(body)
        if language == "console":
            yield from _commands(body)
        elif named:
            yield File(named["path"], body)
        elif language == "python":
            yield Snippet(body)
        elif language not in _NOT_RUN_HERE:
            raise ValueError(f"a block of {language} that nothing is done with:\n{body}")


def _commands(body: str) -> Iterator[Command]:
    if not body.startswith(_PROMPT):
        raise ValueError(f"a console block begins with a command:\n{body}")
    for part in body.removeprefix(_PROMPT).split(f"\n{_PROMPT}"):
        line, *output = part.strip("\n").split("\n")
        yield Command(line, tuple(output))


def shows(actual: str, expected: tuple[str, ...]) -> str | None:
    """Return the first expected line that the output lacks, in order; None if it has all.

    `…` in an expected line stands for anything.
    """
    lines = iter(actual.splitlines())
    for wanted in expected:
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("…")))
        if not any(pattern.fullmatch(line.rstrip()) for line in lines):
            return wanted
    return None
