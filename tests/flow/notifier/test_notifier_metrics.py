"""Numbers over HTTP: what a notifier counts, and what it finds in the catalog."""

from __future__ import annotations

import re
from collections.abc import Callable

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from datamill_builder.catalog import Catalog, lifecycle, usage
from datamill_builder.catalog.usage import Saving
from tests.support.catalog_steps import Steps
from tests.support.eventually import eventually
from tests.support.notifier import NotifierProcess


def test_metrics(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    def numbers() -> dict[str, float]:
        answer = notifier.ask("/metrics")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return _parsed(answer.body.decode())

    before = numbers()
    made = steps().ready()
    notifier.ask(f"/datasets/{made.archive.name}")
    after = numbers()

    def grown(name: str) -> float:
        return after[name] - before[name]

    assert grown('datamill_builds{state="ready"}') == 1
    assert grown('datamill_tasks{kind="shard",state="done"}') == 2
    assert grown("datamill_requests_total") == 1
    assert grown("datamill_leases_lost_total") == 0
    assert grown("datamill_store_bytes") == len(made.archive.body)
    assert grown("datamill_served_bytes_total") == len(made.archive.body)
    assert after["datamill_outbox_messages"] > 0
    assert after["datamill_downloads_in_progress"] == 0
    assert after["datamill_broker_connected"] == 0


def test_metrics_for_who_asks_for_openmetrics(notifier: NotifierProcess) -> None:
    wanted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = notifier.ask("/metrics", headers={"Accept": wanted})
    kind, *parameters = answer.headers["Content-Type"].split("; ")
    assert kind == "application/openmetrics-text"
    assert "version=1.0.0" in parameters
    families = list(text_string_to_metric_families(answer.body.decode()))  # raises what is wrong
    named = {family.name: family for family in families}
    assert named["datamill_requests"].type == "counter"
    assert named["datamill_shard_seconds"].type == "histogram"
    assert answer.body.endswith(b"# EOF\n")


def test_metrics_of_what_a_notifier_itself_does(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().ready()
    before = notifier.numbers()
    assert notifier.ask(f"/datasets/{made.archive.name}").status == 200
    part = {"Range": "bytes=10-19"}
    assert notifier.ask(f"/datasets/{made.archive.name}", headers=part).status == 206
    assert notifier.ask("/nothing").status == 404
    after = notifier.numbers()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown("datamill_downloads_total") == 1, "the second answer is a piece of the first"
    assert grown('datamill_download_pieces_total{outcome="sent"}') == 2
    assert grown('datamill_download_pieces_total{outcome="broken"}') == 0
    assert grown('datamill_http_responses_total{status="206"}') == 1
    assert grown('datamill_http_responses_total{status="404"}') == 1
    assert after["process_start_time_seconds"] > 0
    assert after["datamill_store_free_bytes"] > 0
    assert "datamill_store_budget_bytes" not in after, "there is none"


def test_metrics_say_what_waits(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    before = notifier.numbers()
    waiting = steps().accepted()
    assert notifier.numbers()["datamill_queued_datasets"] == 1 + before["datamill_queued_datasets"]
    waiting.resolved().planned()
    after = notifier.numbers()
    assert after["datamill_queued_datasets"] == 1 + before["datamill_queued_datasets"]
    assert after["datamill_queue_oldest_seconds"] > 0
    assert after["datamill_outbox_oldest_seconds"] > 0
    waiting.shard_made(0)
    assert notifier.numbers()["datamill_queued_datasets"] == before["datamill_queued_datasets"]


def test_metrics_say_what_sharing_saved(
    notifier: NotifierProcess, steps: Callable[..., Steps], catalog: Catalog
) -> None:
    made = steps().ready()
    with catalog.write() as change:
        lifecycle.log_requests(change, ["second", "third"], made.dataset_id)
    assert notifier.ask(f"/datasets/{made.archive.name}").status == 200
    size = len(made.archive.body)

    def saved() -> Saving:
        with catalog.read() as connection:
            return usage.savings(connection)

    def told() -> Saving:
        numbers = notifier.numbers()
        return Saving(
            requests=int(numbers["datamill_requests_total"]),
            builds=int(numbers["datamill_builds_begun_total"]),
            build_secs=saved().build_secs,
            saved_secs=numbers["datamill_saved_build_seconds"],
            sent_bytes=int(numbers["datamill_downloaded_bytes_total"]),
            saved_bytes=int(numbers["datamill_saved_download_bytes"]),
        )

    eventually(lambda: saved().sent_bytes >= size)  # the log of downloads is written later
    eventually(lambda: told() == saved())  # it is kept for a while
    assert saved().saved_secs >= 2 * 0.2
    assert saved().saved_bytes >= 2 * size


def _parsed(text: str) -> dict[str, float]:
    """Read the exposition format as strictly as Prometheus does."""
    values: dict[str, float] = {}
    kinds: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if match := re.fullmatch(r"# TYPE (\w+) (gauge|counter|histogram)", line):
            assert match[1] not in kinds
            kinds[match[1]] = match[2]
        elif not line.startswith("# HELP "):
            match = re.fullmatch(r'(\w+)(\{(?:\w+="[^"\\\n]*",?)+\})? ([\d.]+(?:e[+-]?\d+)?)', line)
            assert match, line
            name = match[1]
            if kinds.get(name) is None:
                name = re.sub("_(bucket|sum|count)$", "", name)
                assert kinds[name] == "histogram", line
            assert (kinds[name] == "counter") == name.endswith("_total")
            assert match[1] + (match[2] or "") not in values
            values[match[1] + (match[2] or "")] = float(match[3])
    return values
