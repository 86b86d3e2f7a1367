"""`python -m tests.soak`: run the service under fire, then check that nothing is wrong."""

from __future__ import annotations

import contextlib
import json
import logging
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.soak.downloaders import Downloader
from tests.soak.history import record
from tests.soak.injecting import Injector
from tests.soak.plan import PlannedFault, planned_faults
from tests.soak.service import Service
from tests.soak.trainers import Trainer
from tests.soak.verdict import FOLDER, Verdict, judge
from tests.support.small_disk import SmallDisk

DISK_BYTES = 512 * 1024**2

_TELL_SECS = 30.0
_ANSWER_SECS = 300.0

log = logging.getLogger("soak")


@click.command()
@click.option("--minutes", type=float, default=5.0, show_default=True, help="How long.")
@click.option("--seed", type=int, default=1, show_default=True, help="What happens follows.")
@click.option("--trainers", type=int, default=44, show_default=True, help="Plain AMQP clients.")
@click.option("--downloaders", type=int, default=6, show_default=True, help="Real clients.")
@click.option("--without", multiple=True, help="A fault to leave out, by its name.")
@click.option("--verdict", "file", type=click.Path(path_type=Path), help="Where it is kept.")
@click.option("--quiet", is_flag=True, help="Do not name each fault.")
def main(
    minutes: float,
    seed: int,
    trainers: int,
    downloaders: int,
    without: tuple[str, ...],
    file: Path | None,
    quiet: bool,
) -> None:
    """Run for some minutes; exit with 1 if anything was lost, done twice or left half."""
    level = logging.WARNING if quiet else logging.INFO
    logging.basicConfig(format="%(message)s", level=level, stream=sys.stdout)
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="datamill-soak-") as name:
        folder = Path(name)
        with _small_disk(folder / "disk") as disk:
            plan = [f for f in planned_faults(seed, minutes * 60.0) if f.name not in without]
            verdict = _run(folder, disk, seed, plan, trainers, downloaders)
        verdict.figures["minutes"] = minutes
        verdict.write(file or FOLDER / f"{seed}.json")
        if verdict.wrong:
            kept = FOLDER / f"{seed}-logs"
            kept.mkdir(parents=True, exist_ok=True)
            for file in [*folder.glob("*.log"), *folder.glob("*.jsonl")]:
                (kept / file.name).write_bytes(file.read_bytes())
            click.echo(f"logs are kept in {kept}")
    click.echo(verdict.text())
    sys.exit(1 if verdict.wrong else 0)


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[SmallDisk | None]:
    """Give a disk of the run's own that can be filled, where this user may mount one."""
    try:
        disk = SmallDisk(folder, DISK_BYTES).__enter__()
    except pytest.skip.Exception as reason:
        click.echo(f"the disk is never full in this run: it {reason}")
        yield None
        return
    try:
        yield disk
    finally:
        disk.__exit__()


def _run(
    folder: Path,
    disk: SmallDisk | None,
    seed: int,
    plan: list[PlannedFault],
    trainers: int,
    downloaders: int,
) -> Verdict:
    home = folder / "disk" / "home"
    home.mkdir(parents=True)
    service = Service(folder, home)
    service.settle()
    record(service.catalog_path)
    injector = Injector(service, disk)
    urls = [service.url, service.far_url]
    asking = [Trainer(seed, number, urls[number % 2]) for number in range(trainers)]
    training = [
        Downloader(seed, number, folder, DATAMILL_BROKER_URL=urls[number % 2])
        for number in range(downloaders)
    ]
    for trainer in asking:
        trainer.start()
    began = time.monotonic()
    told_at = began
    for fault in plan:
        time.sleep(max(0.0, began + fault.at_secs - time.monotonic()))  # its moment by the plan
        injector.inject(fault)
        if time.monotonic() - told_at > _TELL_SECS:
            told_at = time.monotonic()
            log.info("%7.1f s  answered so far: %s", told_at - began, _answered(asking))
    injector.heal()
    verdict = judge(service, injector, asking, training, _ANSWER_SECS)
    verdict.figures["seed"] = seed
    verdict.check_exit_codes(service)
    return verdict


def _answered(trainers: list[Trainer]) -> str:
    counted = Counter(a.event["event"] for trainer in trainers for a in trainer.answered)
    secs = [a.secs for trainer in trainers for a in trainer.answered]
    typical = f", median {statistics.median(secs):.2f} s" if secs else ""
    return json.dumps(counted) + typical


if __name__ == "__main__":
    main()
