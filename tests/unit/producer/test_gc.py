"""What `datamill gc` says, from the notifier's document."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from datamill_producer.cli import datamill
from datamill_producer.gateway import Gateway

HELD: dict[str, Any] = {
    "content_key": "c" * 64,
    "dataset_ids": ["a" * 64],
    "dataset_name": "toy",
    "what": "archive",
    "archive": "toy.zip",
    "bytes": 2_000_000,
    "idle_secs": 7200.0,
    "build_secs": 90.0,
    "score": 1.0,
}
FOUND: dict[str, Any] = {
    "dry_run": False,
    "budget_bytes": 3_000_000,
    "held_bytes": 6_000_000,
    "left_bytes": 4_000_000,
    "over_bytes": 1_000_000,
    "gone": [],
    "stay": [],
    "strays": [],
    "quarantined": [],
}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the lines that are said of a document."""
    monkeypatch.setenv("DATAMILL_URL", "http://played.test")
    monkeypatch.delenv("DATAMILL_BROKER_URL", raising=False)

    def lines(found: dict[str, Any], *arguments: str) -> list[str]:
        monkeypatch.setattr(Gateway, "gc", lambda *_, **__: found)
        result = CliRunner().invoke(datamill, ["gc", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    return lines


def test_what_went_and_why_the_others_stay(said: Any) -> None:
    unfinished = {**HELD, "what": "shards", "dataset_ids": ["b" * 64, "d" * 64], "why": "pinned"}
    orphan = {**HELD, "dataset_ids": [], "why": "recent", "idle_secs": 5.0, "build_secs": 172800.0}
    heading, first, second, third, empty, last = said(
        {**FOUND, "gone": [HELD], "stay": [unfinished, orphan]}
    )
    assert heading.split() == ["ID", "NAME", "SIZE", "UNUSED", "FOR", "BUILT", "IN"]
    assert first.split() == ["a" * 12, "toy", "2.0", "MB", "2.0", "h", "1.5", "min", "gone"]
    assert second.startswith(f"{'b' * 12} (+1)") and "toy (unfinished)" in second
    assert second.endswith("stays: pinned")
    assert third.startswith("c" * 12) and " 5.0 s " in third and " 2.0 d " in third
    assert third.endswith("stays: told ready or fetched within the last hour")
    assert empty == ""
    assert last == "6.0 MB → 4.0 MB, budget 3.0 MB: 1.0 MB over it, and nothing more may go yet"


def test_a_dry_run_only_would(said: Any) -> None:
    strays = [{"path": "archives/x.zip", "bytes": 500}, {"path": "scratch/y", "bytes": 700}]
    damaged = [{"path": "quarantine/z.zip", "bytes": 3000}]
    planned = {**FOUND, "dry_run": True, "gone": [HELD], "strays": strays, "quarantined": damaged}
    *_, stray, quarantined, _last = said(planned, "--dry-run")
    assert stray == "files that nobody needs: 2, 1.2 kB: would go"
    assert quarantined == "damaged files in the store's folder quarantine: 1, 3.0 kB"
    assert said(planned)[1].endswith("would go")


def test_without_a_budget_it_says_so(said: Any) -> None:
    (line,) = said({**FOUND, "budget_bytes": None, "over_bytes": 0})
    assert line == "the store holds 6.0 MB; it has no budget, or give --budget"


def test_a_document_for_programs(said: Any) -> None:
    (line,) = said(FOUND, "--json")
    assert line.startswith('{"dry_run": false')
