"""What docs says of metrics is what a service tells that has built something."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.readme import REPOSITORY
from tests.support.builder import BuilderProcess
from tests.support.eventually import eventually
from tests.support.listener import PlainClient
from tests.support.notifier import NotifierProcess
from tests.support.prepared import home, prepared_home

__all__ = ["home", "prepared_home"]

DOCS = REPOSITORY / "docs"
_METRIC = re.compile(r"\b(?:datamill|process)_[a-z0-9_]+")
_SELECTED = re.compile(r"(?P<metric>[a-z_]+)\{(?P<labels>[^}]*)\}")
_OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds."""


@pytest.fixture
def told(
    home: Path,
    broker_url: str,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
) -> Iterator[str]:
    """What `/metrics` says after a dataset was built, fetched, and asked for in vain."""
    builder = start_builder(home=home)
    notifier = NotifierProcess(home, broker_url, DATAMILL_STORE_BUDGET_BYTES="1000000000").start()
    trainer = client()
    ready = trainer.wait(trainer.ask("toy"))
    assert notifier.ask(f"/datasets/{ready['archive']}").status == 200
    assert trainer.wait(trainer.ask("toy", config={"repeat": 99}))["event"] == "failed"
    builder.stop()  # what it has counted is in the catalog then
    eventually(lambda: notifier.numbers()["datamill_event_lag_seconds_count"] > 0)
    yield notifier.ask("/metrics").body.decode()
    assert notifier.stop() == 0


def test_docs(told: str) -> None:
    names = _names(told)
    written = _rows()
    assert set(written) == set(names), "docs/metrics.md lists what there is"
    for name, (kind, labels) in written.items():
        assert kind == names[name], name
        found = _labels(told, name)
        assert found <= labels, name
        assert found == labels or name == "datamill_hook_calls", name
    for expression in [*_alerts(), *_panels()]:
        _check(expression, told, names)


def test_numbers_after_a_build(told: str) -> None:
    samples = _samples(told)
    outcomes = {labels["outcome"]: n for labels, n in samples["datamill_request_outcomes_total"]}
    assert outcomes["new"] == 2
    failures = {labels["reason"]: n for labels, n in samples["datamill_failures_total"]}
    assert failures["invalid_config"] == 1
    assert sum(failures.values()) == 1
    (_, shards) = samples["datamill_shard_seconds_count"][0]
    (_, made) = samples["datamill_records_total"][0]
    assert shards > 0 and made > 0
    assert samples["datamill_build_seconds_count"][0][1] == 1
    assert samples["datamill_handler_starts_total"][0][1] > 0
    assert samples["datamill_builders"][0][1] == 0, "it has stopped"


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables["DS_PROMETHEUS"]["type"] == "datasource"
    assert variables["DS_PROMETHEUS"]["query"] == "prometheus"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    places = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${DS_PROMETHEUS}"
            assert panel["targets"], panel["title"]


def _check(expression: str, told: str, names: dict[str, str]) -> None:
    """See that an expression asks for what there is, by labels and values that there are."""
    asked = set(_METRIC.findall(expression))
    assert asked, expression
    sampled = _samples(told)
    for metric in asked:
        histogram = re.sub("_(bucket|sum|count)$", "", metric)
        assert metric in names or names.get(histogram) == "histogram", f"{metric}: {expression}"
        assert sampled.get(metric) or metric == "datamill_hook_calls", f"{metric} has no value"
    for found in _SELECTED.finditer(expression):
        for name, how, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', found["labels"]):
            if name in _OF_PROMETHEUS:
                continue
            there = {labels[name] for labels, _ in sampled[found["metric"]]}
            wanted = value.split("|") if how == "=~" else [value]
            assert set(wanted) <= there, expression
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        known = {label for metric in asked for each, _ in sampled.get(metric, []) for label in each}
        known |= _OF_PROMETHEUS | {"state"}
        assert {label.strip() for label in labels.split(",")} <= known, expression


def _names(told: str) -> dict[str, str]:
    """Return the type of each metric by its name; each has its HELP and its TYPE."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", told, re.MULTILINE))
    helped = set(re.findall(r"^# HELP (\S+) \S", told, re.MULTILINE))
    assert helped == set(kinds)
    for line in told.splitlines():
        if not line.startswith("#"):
            name = re.split(r"[{ ]", line)[0]
            histogram = re.sub("_(bucket|sum|count)$", "", name)
            assert name in kinds or kinds.get(histogram) == "histogram", line
    return kinds


def _samples(told: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _labels(told: str, name: str) -> set[str]:
    sampled = _samples(told)
    names = (name, f"{name}_bucket")
    return {label for each in names for labels, _ in sampled.get(each, []) for label in labels}


def _rows() -> dict[str, tuple[str, set[str]]]:
    text = (DOCS / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", text, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def _alerts() -> Iterator[str]:
    document: Any = yaml.safe_load((DOCS / "alerts.yml").read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"].keys() == {"summary", "description"}
            yield rule["expr"]


def _panels() -> Iterator[str]:
    for panel in json.loads((DOCS / "grafana.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
