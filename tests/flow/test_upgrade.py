"""A service is exchanged for a newer one while a build is half done."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.support.builder import BuilderProcess
from tests.support.eventually import eventually
from tests.support.listener import PlainClient
from tests.support.notifier import NotifierProcess
from tests.support.toy import write_items
from tests.unit.builder.catalog.test_upgrade import way_back

SHARDS = 20
RECORDS_PER_SHARD = 4


def as_of_schema_1(catalog: Path) -> None:
    """Make a catalog what schema 1 was."""
    with closing(sqlite3.connect(catalog)) as database:
        for statement in way_back(1):
            database.execute(statement)
        database.commit()


def attempts(catalog: Path) -> Counter[int]:
    with closing(sqlite3.connect(catalog)) as database:
        return Counter(n for (n,) in database.execute("SELECT attempts FROM tasks"))


def test_a_half_done_build_goes_on_in_an_upgraded_catalog(
    home: Path,
    broker_url: str,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
) -> None:
    write_items(home / "raw", ["sleep 0.05 x"] * (SHARDS * RECORDS_PER_SHARD))
    older = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy", config={"repeat": 1})
    trainer.wait(dataset_id, "shard")
    assert older.stop() == 0
    catalog = home / "catalog.sqlite"
    as_of_schema_1(catalog)
    notifier = NotifierProcess(home, broker_url)
    notifier.launch()  # beside the builder: one of them upgrades it, the other waits
    newer = start_builder(home)
    eventually(lambda: "serving at" in notifier.log())
    ready = trainer.wait(dataset_id, timeout_secs=60)
    assert (ready["event"], ready["records"]) == ("ready", SHARDS * RECORDS_PER_SHARD)
    assert attempts(catalog).keys() == {1}, "no work that was done, or handed back, counts twice"
    said = [part.log().count("the catalog was of schema 1") for part in (newer, notifier)]
    assert sorted(said) == [0, 1]
    with closing(sqlite3.connect(f"{catalog}.schema-1")) as kept:
        (version,) = kept.execute("SELECT value FROM meta").fetchone()
    assert version == "1"
    assert notifier.stop() == 0
