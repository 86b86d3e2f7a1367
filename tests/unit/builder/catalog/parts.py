"""A builder's parts over a real catalog and store, led step by step.

Only what a handler would do is played: its environment, its config, its few records.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from sqlalchemy import delete

from datamill.broker import Delivery
from datamill.events import Reason
from datamill.request import Request
from datamill.settings import Settings
from datamill_builder.assembler import Assembler
from datamill_builder.attempts import Attempts
from datamill_builder.catalog import Catalog, PatientChanges, schema, tasks
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim
from datamill_builder.disk_space import DiskSpace
from datamill_builder.handlers.environments import Environment
from datamill_builder.handlers.process import HandlerFailed
from datamill_builder.installers import Installers
from datamill_builder.intake import Intake
from datamill_builder.leases import Leases
from datamill_builder.packer import Packer
from datamill_builder.places import Places
from datamill_builder.progress import ProgressTeller
from datamill_builder.raw_watch import RawWatch
from datamill_builder.resolver import Resolver
from datamill_builder.shard_claims import ShardClaims
from datamill_builder.steward import Steward
from datamill_builder.store import Store
from datamill_builder.workbench import Workbench
from datamill_builder.worker import ShardWorker
from tests.unit.builder.life import URL
from tests.unit.builder.records import example, write_records

ATTEMPTS = 2
"""How often a task may go wrong."""

_RAW_SECS = 1_700_000_000
_WHEEL = Environment("toy", "toy", "1.0.0", "toy:Toy", "toy.whl", "d" * 64, "here", "# py\na==1\n")
_FAILURE = Failure(Reason.HANDLER_ERROR, "it broke", retryable=True)


class PlayedHandlers:
    """Opens no processes. An option `bad` is refused; `n` decides the records, odd ones are made
    in one piece; `default` means nothing.

    `meanwhile` is called once while a handler is at work.
    """

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None

    def is_there(self, _handler: str, _version: str) -> bool:
        return True

    def is_made(self, _environment: Environment) -> bool:
        return True

    def resolve(self, _handler: str, _version: str) -> Environment:
        return _WHEEL

    @contextmanager
    def lend(self, opening: Any, on_open: Any = None) -> Iterator[Any]:
        if "bad" in opening.config:
            raise HandlerFailed(Reason.INVALID_CONFIG, "bad is no option")
        number = opening.config["n"]
        info = {
            "config": {"n": number},
            "mode": "classic" if number % 2 else "sharded",
            "records_per_shard": 1,
            "raw": "toy",
        }
        process = SimpleNamespace(call=self._call, stop=lambda: None)
        yield SimpleNamespace(info=info, process=process, workdir=Path(os.devnull))

    def _call(self, what: str, **given: Any) -> Any:
        self.meanwhile()
        if what == "plan":
            Path(given["folder"], "train.jsonl").write_text('{"key": "0"}\n{"key": "1"}\n')
            return {"train": {"items": 2, "records": 2}}
        if what == "shard":
            path = write_records(Path(given["path"]), [_record(given["items"][0]["key"])])
            body = path.read_bytes()
            said = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            return {"records": 1, "skipped": [], **said}
        if what == "classic":
            return [str(path) for path in self.classic_files]
        return None  # it does not say what a record holds

    classic_files: list[Path]


def _record(key: str) -> bytes:
    return example(text=[key.encode()])


class _PausedResolver(Resolver):
    """One that can be overtaken between its look at an archive and its change of the catalog."""

    checked: Callable[[str], None]

    def _check_archive(self, content_key: str) -> None:
        super()._check_archive(content_key)
        self.checked(content_key)


class _PausedPacker(Packer):
    """One that can be overtaken while it packs."""

    packing: Callable[[], None]

    def _check_raw_data(self, recipe: Any) -> None:
        super()._check_raw_data(recipe)
        self.packing()


class Parts:
    """Intake, steward, shard worker and raw watch of one builder.

    `checked` is called with a content key when a resolving steward has looked at its archive,
    `meanwhile` while any work is under way.
    """

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.store = Store(folder / "store")
        self.looked_at: list[str] = []
        self.handlers = PlayedHandlers()
        self.handlers.classic_files = [
            write_records(folder / f"{n}.tfrecord", [_record(str(n))]) for n in range(2)
        ]
        settings = Settings(home=folder, raw_digest="stat", shard_attempts=ATTEMPTS)
        played: Any = self.handlers
        address: Any = lambda: URL  # noqa: E731
        changes, space = PatientChanges(catalog), DiskSpace(folder)
        bench = Workbench(settings, catalog, changes, self.store, played, address)
        self.attempts = Attempts(changes, Leases(catalog, 60.0), space, ATTEMPTS)
        given = ("owner", bench, self.attempts, space)
        self.intake = Intake(catalog, self.store, address, self.looked_at.append)
        assembler = Assembler(catalog, self.store, space)
        self.steward = Steward(*given, played, assembler)
        self.resolver = _PausedResolver(bench, played, Installers(1, lambda _task: None))
        self.packer = _PausedPacker(bench, assembler)
        self.steward.resolver, self.steward.packer = self.resolver, self.packer
        claims = ShardClaims("owner", bench, played)
        teller = ProgressTeller(catalog, lambda _messages: None)
        self.worker = ShardWorker(claims, bench, self.attempts, space, Places(1), assembler, teller)
        self.watch = RawWatch(catalog)
        self.raw = folder / "raw" / "toy"
        self.raw.mkdir(parents=True)
        self._raw_changes = 0
        self.write_raw(more=False)
        self.on_checked(lambda _key: None, lambda: None)

    def on_checked(self, checked: Callable[[str], None], meanwhile: Callable[[], None]) -> None:
        """Set what happens while work is under way."""

        def both(key: str) -> None:
            checked(key)
            meanwhile()

        self.resolver.checked, self.packer.packing = both, meanwhile
        self.handlers.meanwhile = meanwhile

    def write_raw(self, more: bool) -> int:
        """Have two files of raw data, or one; each change shows at a glance. Returns its number."""
        self._raw_changes += 1
        paths = [self.raw / "items", self.raw / "more"]
        for path in paths:
            path.unlink(missing_ok=True)
        for path in paths[: 1 + more]:
            path.write_text("item")
            os.utime(path, (_RAW_SECS, _RAW_SECS))
        os.utime(self.raw, (_RAW_SECS, _RAW_SECS + self._raw_changes))
        return self._raw_changes

    @staticmethod
    def number_of(marks: str) -> int:
        """Return after which change marks were taken."""
        return int(json.loads(marks)["folders"]["."]) // 10**9 - _RAW_SECS

    @staticmethod
    def harm(path: Path, how: str) -> None:
        """Do to a file of the store what should not happen to it."""
        if how == "gone":
            path.unlink()
        elif how == "touched":
            copy = path.with_name("copy")
            copy.write_bytes(path.read_bytes())
            copy.replace(path)
        else:
            body = bytearray(path.read_bytes())
            body[len(body) // 2] ^= 1
            path.write_bytes(body)
            os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))

    def forget_all(self) -> None:
        """Go back to when nothing had ever happened."""
        with self.catalog.write() as change:
            for table in reversed(schema.metadata.sorted_tables):
                if table is not schema.meta:
                    change.connection.execute(delete(table))
        for folder in ("archives", "shards", "plans"):
            shutil.rmtree(self.store.root / folder)
            (self.store.root / folder).mkdir()
        self.looked_at.clear()

    def content_key(self, request: Request) -> str:
        """Return what a request for good data means now."""
        config = dict(request.dataset_config)
        return self.resolver.recipe("toy", "1.0.0", config)[0].content_key

    def work(self, claim: Claim) -> None:
        """Do what was claimed, now or long ago, as the builder's threads do."""
        given = [claim]

        def claimed(*_asked: object) -> Claim | None:
            return given.pop() if given else None

        with (
            patch.object(tasks, "claim", claimed),
            patch.object(tasks, "claim_fair_shard", claimed),
        ):
            if claim.kind is TaskKind.SHARD:
                self.worker.work(Delivery(b"", "", None, False, 1))
            else:
                self.steward._do(claim.kind, claim.subject)

    def give_up(self, claim: Claim) -> None:
        """Find that it can't be done."""
        self.attempts.fail(claim, _FAILURE)

    def stumble(self, claim: Claim) -> None:
        """Meet an error that may not come again."""
        self.attempts.try_again(claim, OSError("it stumbled"))

    def hand_back(self, claim: Claim) -> None:
        """Stop in the middle."""
        self.attempts.hand_back(claim)
