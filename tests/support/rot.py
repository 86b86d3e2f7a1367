"""Damaging files as a failing disk does."""

from __future__ import annotations

import os
from pathlib import Path


def flip_bit(file: Path) -> None:
    """Flip one bit in the middle, so that size, time and inode stay as they were."""
    before = file.stat()
    with file.open("r+b") as opened:
        opened.seek(before.st_size // 2)
        (byte,) = opened.read(1)
        opened.seek(before.st_size // 2)
        opened.write(bytes([byte ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip_bit_seen(file: Path) -> None:
    """Flip one bit, so that the modification time tells."""
    flip_bit(file)
    os.utime(file)


def truncate(file: Path) -> None:
    """Lose the last byte."""
    os.truncate(file, file.stat().st_size - 1)
