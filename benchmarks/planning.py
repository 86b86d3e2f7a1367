"""Planning 1,000,000 source items, beside listing and hashing their names.

Planning is what the builder's planner does, from raw data and a content key to a plan that is
committed: the handler, whose process is open, lists the source items, puts them in the order of
their keyed hashes and writes them down; the builder cuts what was written into shards, syncs it
and commits. The peer walks the same folders, takes the SHA-256 of each name and sorts those.

The version of the raw data, which every request for a build asks for beforehand, also asks each
file for its size and time; so does its peer, which digests those together with the names. Content
was read before.

The files are hard links: what they hold is not read while this is measured.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from datamill.request import Request
from datamill.settings import Settings
from datamill_builder.address import PublicAddress
from datamill_builder.catalog import Catalog, PatientChanges, lifecycle, tasks
from datamill_builder.catalog.states import TaskKind
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.pool import HandlerPool, Opening
from datamill_builder.handlers.process import HandlerProcess
from datamill_builder.installers import Installers
from datamill_builder.planner import Planner
from datamill_builder.raw import raw_version
from datamill_builder.recipe import Recipe
from datamill_builder.store import Store
from datamill_builder.workbench import Workbench
from datamill_producer.up.descendants import descendants
from tests.support.proc import peak_resident_bytes

LIMIT, LIMIT_MB = 3.0, 500.0
ITEMS, CLASSES = 1_000_000, 10
_NAME = "classification"
_LINKS_PER_FILE = 50_000
"""ext4 allows 65,000."""


def measure(rounds: int, count: int = ITEMS) -> list[Comparison]:
    """Plan, list and hash in turns."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name, ExitStack() as stack:
        raw = Path(name) / "raw" / _NAME
        _lay_out(raw, count)
        builder = stack.enter_context(_in_process(Path(name), count))
        peaks: list[float] = []

        def ask(what: str) -> float:
            builder.send(what)
            secs, peak_mb = builder.recv()
            peaks.append(peak_mb)
            return float(secs)

        planned, names = in_turns([lambda: ask("plan"), lambda: _hash_names(raw)], rounds)
        planning_peaks = tuple(peaks[-rounds:])
        version, facts = in_turns([lambda: ask("version"), lambda: _hash_facts(raw)], rounds)
    at_most = Limit.times_at_most(LIMIT)
    told = f"{count:,} source items"
    return [
        Comparison(f"planning {told}", "s", planned, "listing and hashing names", names, at_most),
        Comparison(
            f"peak memory of planning {told}, builder and handler together",
            "MB",
            planning_peaks,
            "",
            (),
            Limit.at_most(LIMIT_MB),
        ),
        Comparison(
            f"version of raw data of {count:,} known files",
            "s",
            version,
            "listing, hashing names, sizes, times",
            facts,
            at_most,
        ),
    ]


def _lay_out(raw: Path, count: int) -> None:
    sources = raw.parents[1] / "sources"
    sources.mkdir()
    for number in range(-(-count // _LINKS_PER_FILE)):
        (sources / str(number)).write_bytes(b"tiny %d" % number)
    for number in range(CLASSES):
        (raw / f"class{number}").mkdir(parents=True)
    for number in range(count):
        source = f"{sources}/{number // _LINKS_PER_FILE}"
        os.link(source, f"{raw}/class{number % CLASSES}/{number:07d}.jpg")


def _hash_names(raw: Path) -> float:
    with timed() as watch:
        digests = []
        for folder, _, names in os.walk(raw):
            digests += [hashlib.sha256(f"{folder}/{name}".encode()).digest() for name in names]
        digests.sort()
    return watch.secs


def _hash_facts(raw: Path) -> float:
    with timed() as watch:
        total = hashlib.sha256()
        for folder, folders, names in os.walk(raw):
            folders.sort()
            for name in sorted(names):
                path = f"{folder}/{name}"
                found = os.stat(path)  # noqa: PTH116
                total.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
        total.hexdigest()
    return watch.secs


@contextmanager
def _in_process(home: Path, count: int) -> Iterator[Any]:
    """Run the builder's part in a process of its own, whose memory is nobody else's."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, home, count))
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(60)


def _serve(pipe: Any, home: Path, count: int) -> None:
    """Plan, or find out the version, whenever told to; say the seconds and the peak in MB."""
    with ExitStack() as stack:
        catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
        stack.callback(catalog.close)
        workdir = home / "handler"
        workdir.mkdir()
        handler = _Handler(workdir, home / "raw")
        stack.callback(handler.process.close)
        planner = _Planning(home, catalog, handler, count)
        folder = home / "raw" / _NAME
        while True:
            try:
                what = pipe.recv()
            except EOFError:
                return
            prepared = planner.prepared() if what == "plan" else None
            with timed() as watch:
                if prepared:
                    planner.plan(prepared)
                else:
                    raw_version(catalog, folder, "content")
            pipe.send((watch.secs, _peak_mb()))


def _peak_mb() -> float:
    """Return the peaks of this process and of the handler's, as if both were at one time."""
    processes = {os.getpid(), *descendants(os.getpid())}
    return sum(peak_resident_bytes(pid) for pid in processes) / 1e6


class _Handler:
    """The handler of this checkout in this environment, lent to whoever asks."""

    def __init__(self, workdir: Path, raw_root: Path) -> None:
        self.process = HandlerProcess(Path(sys.executable), workdir, _NAME)
        self.info = self.process.call(
            "open",
            entry_point="dataset_handlers.classification:ClassificationHandler",
            config={},
            raw_root=str(raw_root),
            raw=None,
            dataset_name=_NAME,
        )

    @contextmanager
    def lend(self, _opening: Opening) -> Iterator[_Handler]:
        yield self

    def is_made(self, _environment: object) -> bool:
        return True


@dataclass
class _Planning:
    """Builds of different content keys, one after the other, each as far as its plan."""

    home: Path
    catalog: Catalog
    handler: _Handler
    count: int

    def __post_init__(self) -> None:
        self._store = Store(self.home / "store")
        self._changes = PatientChanges(self.catalog)
        settings = Settings(home=self.home, public_url="http://localhost:1")
        address = PublicAddress(self.catalog, settings.public_url)
        handlers = cast("HandlerPool", self.handler)
        bench = Workbench(settings, self.catalog, self._changes, self._store, handlers, address)
        self._planner = Planner(bench, cast("Environments", self.handler), Installers(1))
        self._seeds = itertools.count()

    def prepared(self) -> tasks.Claim:
        """Return a claim on the plan of a new build."""
        config = {**self.handler.info["config"], "seed": next(self._seeds)}
        request = Request.of(_NAME, "1.0.0", {"seed": config["seed"]})
        recipe = Recipe(
            dataset_name=_NAME,
            config=config,
            mode="sharded",
            records_per_shard=256,
            raw=_NAME,
            raw_version="0" * 64,
            handler=_NAME,
            package="dataset-handlers",
            package_version="1.0.0",
            entry_point="",
            wheel="",
            wheel_sha256="",
            origin="",
            lock="",
        )
        key = recipe.content_key
        with self.catalog.write() as change:
            lifecycle.accept_new(change, request)
            claim = tasks.claim(change, TaskKind.RESOLVE, request.dataset_id, 0, "benchmark")
            assert claim is not None
            lifecycle.resolved(change, claim, key, recipe.model_dump(), "")
            plan = tasks.claim(change, TaskKind.PLAN, key, 0, "benchmark")
        assert plan is not None
        return plan

    def plan(self, claim: tasks.Claim) -> None:
        self._planner.plan(claim)
        with self.catalog.read() as connection:
            build = lifecycle.find_build(connection, claim.subject)
        assert build is not None and build.items == self.count, build
        self._store.plan_path(claim.subject, "train").unlink()


if __name__ == "__main__":
    answer(__doc__, measure)
