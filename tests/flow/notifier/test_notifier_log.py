"""Log lines of a notifier."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.support.catalog_steps import Steps
from tests.support.notifier import NotifierProcess

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_lines_name_the_dataset_and_the_trace(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().ready()
    os.utime(made.store.archive_path(made.archive.name), (1e9, 1e9))
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    path = f"/datasets/{made.dataset_id}/manifest.json"
    assert notifier.ask(path, headers=headers).status == 200
    (line,) = [line for line in notifier.log().splitlines() if "touched since" in line]
    assert line.endswith(f"it is whole [{made.dataset_id[:12]}] [trace {TRACE}]")
