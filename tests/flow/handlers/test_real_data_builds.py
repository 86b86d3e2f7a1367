"""Every handler that ships, on its raw data: the same bytes however many make it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datamill_builder.catalog.states import TaskKind
from tests.flow.handlers.shipped import SHIPPED
from tests.support.eventually import eventually
from tests.support.mill import Mill

ITEMS = {"max_items": 12}
SHARDS = {**ITEMS, "variations_per_sample": 90}
"""Makes three shards of 256 records or more, so that several workers work side by side."""


@pytest.fixture(scope="module")
def one_worker(start_mill: Callable[[int], Mill]) -> Iterator[Mill]:
    return start_mill(1)


@pytest.fixture(scope="module")
def four_workers(start_mill: Callable[[int], Mill]) -> Iterator[Mill]:
    return start_mill(4)


@pytest.mark.parametrize("name", SHIPPED)
def test_one_worker_and_four_make_the_same_bytes(
    one_worker: Mill, four_workers: Mill, name: str
) -> None:
    config = {**SHIPPED[name].small, **SHARDS}
    asked = one_worker.ask(name, config)
    many = four_workers.build(name, config)
    assert many["event"] == "ready", many
    assert many["shards"] > 2
    assert four_workers.manifest(many).skipped == []
    assert one_worker.wait(asked)["sha256"] == many["sha256"]


@pytest.mark.parametrize("name", SHIPPED)
def test_no_option_has_to_be_given(four_workers: Mill, name: str) -> None:
    """But for `max_items`, since this is no test of speed."""
    manifest = four_workers.manifest(four_workers.build(name, ITEMS))
    assert manifest.records > 0
    assert manifest.config == {**SHIPPED[name].defaults, **ITEMS}


@pytest.mark.parametrize("name", SHIPPED)
def test_bad_raw_data_is_refused_or_told(four_workers: Mill, shared_data: Path, name: str) -> None:
    assert (shared_data / "bad" / SHIPPED[name].raw).is_dir()
    failed = four_workers.build(f"bad_{name}", SHIPPED[name].small)
    assert (failed["event"], failed["reason"], failed["retryable"]) == ("failed", "bad_data", False)
    told = "source items are bad, max_bad_share allows 1.00%"
    assert ("is broken" if SHIPPED[name].raw == "coco" else told) in failed["message"]
    ready = four_workers.build(f"bad_{name}", {**SHIPPED[name].small, "max_bad_share": 1})
    manifest = four_workers.manifest(ready)
    assert any(item.key in failed["message"] for item in manifest.skipped)
    assert any(item.reason in failed["message"] for item in manifest.skipped)
    for item in manifest.skipped:
        assert item.reason.strip() and "\n" not in item.reason
    strict = four_workers.build(f"bad_{name}", {**SHIPPED[name].small, "on_bad_item": "fail"})
    assert (strict["event"], strict["reason"]) == ("failed", "bad_data")
    assert any(item.reason in strict["message"] for item in manifest.skipped)


def test_a_handler_that_the_kernel_kills_in_a_shard_costs_a_retry(one_worker: Mill) -> None:
    """As it does when there is no more memory."""
    config = {"image_size": [512, 512], "max_items": 32, "variations_per_sample": 8}
    asked = one_worker.ask("duts", config)
    os.kill(eventually(lambda: _writer(one_worker)), signal.SIGKILL)
    ready = one_worker.wait(asked)
    assert (ready["event"], ready["records"]) == ("ready", 32 * 8)
    tasks = one_worker.builder.tasks(TaskKind.SHARD)
    assert [task.attempts for task in tasks if task.subject == ready["content_key"]] == [2]
    assert "SIGKILL" in one_worker.builder.log()


def _writer(mill: Mill) -> int | None:
    """Return the process that has a shard open in which there is something already."""
    for pid in mill.processes()[1:]:
        try:
            for link in Path("/proc", str(pid), "fd").iterdir():
                if link.readlink().name == "shard.tfrecord" and link.stat().st_size > 0:
                    return pid
        except OSError:
            continue  # it ended, or closed the file, while we looked
    return None
