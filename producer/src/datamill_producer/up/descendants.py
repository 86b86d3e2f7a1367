"""The processes below this one."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

_PROC = Path("/proc")


def descendants(pid: int) -> list[int]:
    """Return the ids of a process's children, their children, and so on."""
    children = defaultdict(list)
    for child, parent in _parents().items():
        children[parent].append(child)
    found: list[int] = []
    below = children[pid]
    while below:
        found += below
        below = [grandchild for child in below for grandchild in children[child]]
    return found


def _parents() -> dict[int, int]:
    return _from_proc() if (_PROC / "self" / "stat").exists() else _from_ps()


def _from_proc() -> dict[int, int]:
    parents = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            # proc(5): pid (command) state ppid …; the command may hold spaces and brackets.
            after_command = (folder / "stat").read_bytes().rpartition(b")")[2]
        except OSError:
            continue  # it ended while we looked
        parents[int(folder.name)] = int(after_command.split()[1])
    return parents


def _from_ps() -> dict[int, int]:
    said = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = (line.split() for line in said.stdout.splitlines())
    return {int(pid): int(parent) for pid, parent in pairs}
