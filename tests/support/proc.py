"""What /proc says of a process (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

from datamill_producer.up.descendants import descendants


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def descriptors(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def catches(pid: int, signal: int) -> bool:
    """Return whether a process does something of its own when it gets a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (signal - 1) & 1)


def resident_bytes(pid: int) -> int:
    """Return how much memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes(pid: int) -> int:
    """Return the most memory that a process ever held, or since `forget_peak`."""
    return _status_bytes(pid, "VmHWM")


def private_bytes(pid: int) -> int:
    """Return how much memory a process holds that is nobody else's."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def forget_peak(pid: int) -> None:
    """Let `peak_resident_bytes` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (size,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(size) * 1024


def processor_secs(pid: int) -> float:
    """Return the processor time of a process and of all below it, also of those that ended."""
    return sum(_own_secs(each) for each in (pid, *descendants(pid)))


def _own_secs(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it ended; what it took is its parent's now
    # proc(5): utime, stime, cutime and cstime are fields 14 to 17, and the state is field 3.
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
