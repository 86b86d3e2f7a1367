"""What a run came to: its figures, and whatever should not have been."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from datamill_builder.catalog import Catalog, schema
from datamill_builder.catalog.states import ACTIVE_BUILDS, BuildState
from tests.soak.asking import Asked
from tests.soak.downloaders import Downloader
from tests.soak.history import contradictions, recorded
from tests.soak.injecting import Injector
from tests.soak.service import Service
from tests.soak.trainers import Trainer
from tests.support import invariants

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "soak"
"""Where the verdicts of runs are kept, for the report."""

_SETTLE_SECS = 300.0
_THERE = (BuildState.READY, *ACTIVE_BUILDS)
_EXCUSES = {"cancelled", "bad_data"}
"""Why a good request may fail in a run: somebody cancelled it, or changed its raw data."""


@dataclass
class Verdict:
    """Figures of a run, and what was wrong."""

    figures: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def check_exit_codes(self, service: Service) -> None:
        """End the service; whatever ends in order says so."""
        for name, code in service.close().items():
            if code != 0:
                self.wrong.append(f"{name} ended with exit code {code}")
        for part in service.parts:
            if part.bad_exits:
                self.wrong.append(f"{part.name} ended by itself: exit codes {part.bad_exits}")
        logs = service.logs()
        self.figures["not foreseen"] = logs.count("not foreseen")
        if self.figures["not foreseen"]:
            self.wrong.append("errors that were not foreseen are in the logs")

    def write(self, file: Path) -> None:
        """Write it as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"figures": self.figures, "wrong": self.wrong}, indent=1))

    def text(self) -> str:
        """Return it for people."""
        lines = [f"{name:>34}  {value}" for name, value in self.figures.items()]
        lines += [f"WRONG: {what}" for what in self.wrong[:50]]
        lines.append("nothing lost, nothing twice, nothing half" if not self.wrong else "FAILED")
        return "\n".join(lines)


def judge(
    service: Service,
    injector: Injector,
    trainers: list[Trainer],
    downloaders: list[Downloader],
    answer_secs: float,
) -> Verdict:
    """Let everybody get their answer, ask for everything once more, and look at everything."""
    verdict = Verdict()
    verdict.wrong += _finish(trainers, downloaders, answer_secs)
    with contextlib.closing(service.open_catalog()) as catalog:
        verdict.wrong += _ask_for_all(catalog, service.url, answer_secs)
        # First the answers, then the state: builds may go on that nobody waits for any more.
        try:
            invariants.hold(
                catalog,
                service.store,
                lambda: invariants.queue_depths(service.node, service.url),
                timeout_secs=_SETTLE_SECS,
            )
        except (AssertionError, OSError) as broken:
            verdict.wrong += str(broken).splitlines()
        verdict.figures |= _counted(catalog)
    changes = recorded(service.catalog_path)
    verdict.figures["changes in the history"] = len(changes)
    verdict.wrong += contradictions(changes)
    verdict.wrong += _unexpected(trainers, downloaders)
    verdict.figures |= _answers(trainers, downloaders)
    verdict.figures["faults"] = sum(injector.injected.values())
    verdict.figures["faults by kind"] = dict(sorted(injector.injected.items()))
    verdict.figures["without a victim"] = sum(injector.without_victim.values())
    verdict.figures["queues lost by the broker"] = service.lost_queues
    verdict.figures["broker mended by hand"] = injector.by_hand
    verdict.figures["starts of parts"] = {part.name: part.starts for part in service.parts}
    return verdict


def _finish(
    trainers: list[Trainer], downloaders: list[Downloader], answer_secs: float
) -> Iterator[str]:
    for one in (*trainers, *downloaders):
        one.stop()
    deadline = time.monotonic() + answer_secs
    for trainer in trainers:
        trainer.join(max(0.1, deadline - time.monotonic()))
        if trainer.waiting is not None:
            yield f"{trainer.name} waits for {trainer.waiting.dataset_id[:12]} without an answer"
    for number, downloader in enumerate(downloaders):
        try:
            code = downloader.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            downloader.process.kill()
            code = downloader.process.wait()
        if code:
            yield f"downloader {number} ended with exit code {code}"


def _ask_for_all(catalog: Catalog, url: str, answer_secs: float) -> list[str]:
    """Ask once more for every dataset that is there: what was damaged is noticed, and made again.

    Not for those that were evicted and the like: to build them all takes longer than the run did.
    """
    datasets, builds = schema.datasets, schema.builds
    query = select(datasets).join(builds).where(builds.c.state.in_(_THERE))
    with catalog.read() as connection:
        rows = connection.execute(query).all()
    waiting = [
        Asked(row.dataset_name, row.handler_version, json.loads(row.config), "") for row in rows
    ]
    groups = [waiting[number::8] for number in range(8)]
    asking = [_Sweep(number, url, group) for number, group in enumerate(groups)]
    for one in asking:
        one.start()
    deadline = time.monotonic() + answer_secs
    for one in asking:
        one.join(max(0.1, deadline - time.monotonic()))
    return [
        f"{one.waiting.dataset_id[:12]} was asked for once more, without an answer"
        for one in asking
        if one.waiting is not None
    ]


class _Sweep(Trainer):
    """A trainer that asks for a list, once."""

    def __init__(self, number: int, url: str, group: list[Asked]) -> None:
        super().__init__(0, 90_000 + number, url)
        self._group = group

    def run(self) -> None:
        for asked in self._group:
            self.waiting = asked
            self._answer(asked)
            self.waiting = None
        self._close()


def _unexpected(trainers: list[Trainer], downloaders: list[Downloader]) -> Iterator[str]:
    for trainer in trainers:
        for answer in trainer.answered:
            event = answer.event
            said = "ready" if event["event"] == "ready" else event["reason"]
            yield from _judged(answer.asked.dataset_id, answer.asked.expected, said, str(event))
    for downloader in downloaders:
        for answer in downloader.answers():
            said = answer.get("reason", answer["outcome"])
            yield from _judged(answer["dataset_id"], answer["expected"], said, str(answer))


def _judged(dataset_id: str, expected: str, said: str, whole: str) -> Iterator[str]:
    if said != expected and said not in _EXCUSES:
        yield f"{dataset_id[:12]}: {expected} was expected, it was {said}: {whole[:400]}"


def _counted(catalog: Catalog) -> dict[str, Any]:
    with catalog.read() as connection:

        def count(table: Any) -> int:
            return connection.scalar(select(func.count()).select_from(table)) or 0

        states = connection.execute(
            select(schema.builds.c.state, func.count()).group_by(schema.builds.c.state)
        ).tuples()
        return {
            "requests accepted": count(schema.requests),
            "datasets": count(schema.datasets),
            "builds": dict(states.all()),
            "shards": count(schema.shards),
        }


def _answers(trainers: list[Trainer], downloaders: list[Downloader]) -> dict[str, Any]:
    answers = [answer for trainer in trainers for answer in trainer.answered]
    secs = sorted(answer.secs for answer in answers)
    downloads = Counter(
        answer["outcome"] for downloader in downloaders for answer in downloader.answers()
    )
    return {
        "answers to plain clients": dict(Counter(a.event["event"] for a in answers)),
        "median, 99 %, longest answer (s)": [
            round(value, 2)
            for value in (statistics.median(secs), secs[int(len(secs) * 0.99)], secs[-1])
        ]
        if secs
        else [],
        "outcomes of real clients": dict(downloads),
        "threads": threading.active_count(),
    }
