"""What the lock of a handler environment pins, read without the builder's other parts."""

from __future__ import annotations


def pins(lock: str) -> dict[str, str]:
    """Return name → version of what a lock holds; `interpreter`: what its first line says."""
    lines = lock.splitlines()
    pinned = (line.split("==", 1) for line in lines if "==" in line and not line.startswith(" "))
    found = {name.strip(): rest.split()[0] for name, rest in pinned}
    if lines and lines[0].startswith("# "):
        found["interpreter"] = lines[0].removeprefix("# ")
    return found
