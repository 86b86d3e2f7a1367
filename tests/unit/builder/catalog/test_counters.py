"""What is counted: in memory, then in the catalog, where it only grows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from datamill_builder.catalog import Catalog, counted, counters
from datamill_builder.catalog.counters import Counters

HITS = ("request_outcomes", (("outcome", "hit"),))
RECORDS = ("records", ())
MIDDLE = ("shard_seconds_bucket", (("le", "10"),))


def write(catalog: Catalog, count: Counters, part: str = "builder") -> None:
    with catalog.write() as change:
        counters.add(change, part, count.take())


def read(catalog: Catalog) -> counters.Totals:
    with catalog.read() as connection:
        return counters.read(connection)


def test_only_what_is_new_is_added(catalog: Catalog) -> None:
    count = Counters()
    count.add(counted.REQUEST_OUTCOMES, 3, "hit")
    count.add(counted.RECORDS, 10)
    count.observe(counted.SHARD_SECS, 4.0)
    write(catalog, count)
    before = read(catalog)
    write(catalog, count)
    assert read(catalog) == before, "nothing was counted meanwhile"
    count.add(counted.REQUEST_OUTCOMES, 2, "hit")
    write(catalog, count)
    grown = read(catalog)
    assert grown.pop(HITS) - before.pop(HITS) == 2
    assert grown == before
    assert grown[MIDDLE] == 1
    assert grown["shard_seconds_sum", ()] == 4.0


def test_two_builders_and_one_that_is_started_again_add_up(catalog: Catalog) -> None:
    before = read(catalog).get(RECORDS, 0)
    for _ in range(3):
        count = Counters()
        count.add(counted.RECORDS, 5)
        write(catalog, count)
    assert read(catalog)[RECORDS] - before == 15


def test_all_parts_are_counted_together(catalog: Catalog) -> None:
    for part in ("one", "another"):
        count = Counters()
        count.add(counted.RECORDS, 5)
        write(catalog, count, part)
    assert read(catalog)[RECORDS] == 10


def test_a_level_is_where_it_was_last(catalog: Catalog) -> None:
    count = Counters()
    for level in (7, 3):
        count.level(counted.DEAD_LETTERS, level)
        write(catalog, count)
    assert read(catalog) == {("dead_letters", ()): 3}


def test_what_could_not_be_written_is_written_next_time(catalog: Catalog) -> None:
    count = Counters()
    count.add(counted.RECORDS, 5)
    taken = count.take()
    count.add(counted.RECORDS, 1)
    count.put_back(taken)
    write(catalog, count)
    assert read(catalog)[RECORDS] == 6


def test_a_value_is_in_the_first_bucket_that_holds_it() -> None:
    assert counted.SHARD_SECS.bucket_of(0.0) == "0.1"
    assert counted.SHARD_SECS.bucket_of(0.1) == "0.1"
    assert counted.SHARD_SECS.bucket_of(0.11) == "0.3"
    assert counted.SHARD_SECS.bucket_of(1e9) == "+Inf"


def test_no_count_of_several_threads_is_lost() -> None:
    count = Counters()

    def add(_number: int) -> None:
        for _ in range(1000):
            count.add(counted.RECORDS)
            count.observe(counted.SHARD_SECS, 5.0)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(8)))
    assert count.totals()[RECORDS] == 8000
    assert count.totals()[MIDDLE] == 8000


def test_names_fit_into_the_catalog() -> None:
    names = [what.name for what in counted.ALL]
    assert len(names) == len(set(names))
    assert all(len(f"{name}_bucket") <= 64 for name in names)
