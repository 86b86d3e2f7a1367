from __future__ import annotations

import pytest

from datamill.table import size, table


def test_columns_are_aligned_and_nothing_trails() -> None:
    assert table([("ID", "N"), ("abcdef", 1), (None, 22)]) == "ID      N\nabcdef  1\n        22"
    assert table([("a", None)]) == "a"


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (55_629, "55.6 kB"),
     (2_500_000, "2.5 MB"), (3_000_000_000, "3.0 GB"), (5 * 10**15, "5000.0 TB")],
)  # fmt: skip
def test_size(count: int | None, text: str) -> None:
    assert size(count) == text
