"""Room for a file that grows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from datamill.reserving import reserve


@pytest.mark.skipif(sys.platform != "linux", reason="Linux can, Python can't ask others")
def test_the_size_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb", buffering=0) as file:
        reserve(file.fileno(), 1_000_000)
        assert path.stat().st_size == 0
        assert path.stat().st_blocks * 512 >= 1_000_000
        file.write(b"x")
    assert path.read_bytes() == b"x"


def test_what_cannot_be_is_no_error() -> None:
    reserve(-1, 1000)
