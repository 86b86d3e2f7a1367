"""What was done with dead letters, and by whom: a line of JSON each, in the home.

A letter that is replayed or dropped is gone from its queue, so this is where it can be seen
afterwards.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datamill_producer.dead_letters import DeadLetter

LOG_FILE = "dead-letters.log"


class DeadLog:
    """The log of a home; several commands may write at once."""

    def __init__(self, home: Path) -> None:
        self._path = home / LOG_FILE

    def write(self, letter: DeadLetter, outcome: str) -> None:
        """Write down what became of a letter, before it is acted upon or after; synced."""
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "user": _user(),
            "outcome": outcome,
            "sha256": hashlib.sha256(letter.body).hexdigest(),
        } | {name: value for name, value in letter.document().items() if name != "number"}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # One write at the end of the file: lines of several processes don't mix.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, json.dumps(entry).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield what was done, the oldest first."""
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name and no entry for the number: a container
        return str(os.getuid())
