"""Handler processes that are kept for the next piece of work of the same build."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datamill.events import Reason
from datamill.request import canonical_json
from datamill_builder.catalog import counted
from datamill_builder.catalog.counters import Counters
from datamill_builder.handlers import answers
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.process import (
    HandlerDied,
    HandlerFailed,
    HandlerProcess,
    HandlerStopped,
)
from datamill_builder.handlers.spares import Begun, Spares
from datamill_builder.store import Store

_QUIET_SECS = 10.0
"""Spares are begun when no handler is at work, or after so long: they would only slow it down."""


@dataclass(frozen=True)
class Opening:
    """What a handler process is opened with."""

    environment: Environment
    dataset_name: str
    config: dict[str, Any] = field(hash=False)
    raw: str | None
    raw_version: str | None = None
    """Of the raw data that it is to read; None for who only asks about a config."""

    @property
    def key(self) -> bytes:
        """What two openings share that can share a process."""
        return canonical_json(
            [
                self.environment.key,
                self.environment.entry_point,
                self.dataset_name,
                self.config,
                self.raw,
            ]
        )


@dataclass
class OpenHandler:
    """A handler process with its config set. `info`: mode, resolved config, raw folder.

    `raw_version`: of the raw data that it may have read, and may remember.
    """

    key: bytes
    begun: Begun
    info: dict[str, Any]
    raw_version: str | None = None

    @property
    def process(self) -> HandlerProcess:
        """The process itself."""
        return self.begun.process

    @property
    def workdir(self) -> Path:
        """Where the process runs, and may write."""
        return self.begun.folder.path

    def close(self) -> None:
        """End the process, remove its folder and let go of its environment."""
        self.begun.close()


class HandlerPool:
    """Lends handler processes; at most `idle` wait for their next use."""

    def __init__(
        self,
        environments: Environments,
        raw_root: Path,
        store: Store,
        idle: int,
        open_timeout_secs: float,
        memory_bytes: int | None = None,
        counters: Counters | None = None,
    ) -> None:
        self._environments = environments
        self._raw_root = raw_root
        self._store = store
        self._idle = idle
        self._open_timeout_secs = open_timeout_secs
        self._memory_bytes = memory_bytes
        self._counters = counters or Counters()
        self._changed = threading.Condition()
        self._waiting: list[OpenHandler] = []
        self._at_work: list[HandlerProcess] = []
        self._stopped = False
        self._spares = Spares(self._begun_spare)

    @contextmanager
    def lend(
        self, opening: Opening, on_open: Callable[[HandlerProcess], None] | None = None
    ) -> Iterator[OpenHandler]:
        """Lend an open handler process; one whose work went wrong is not used again."""
        handler = self._take(opening) or self._open(opening)
        handler.raw_version = opening.raw_version or handler.raw_version
        handler.process.context = contextvars.copy_context()
        try:
            if on_open:
                on_open(handler.process)
            yield handler
        except BaseException as error:
            self._count_end(error)
            refused = isinstance(error, HandlerFailed) and handler.process.alive
            # One that was refused by the system may have left half a file in its folder.
            refused = refused and not getattr(error, "errno", None)
            self._give_back(handler) if refused else handler.close()
            raise
        else:
            self._give_back(handler)
        finally:
            self._rests(handler.process)

    def _count_end(self, error: BaseException) -> None:
        """Count a process that is lost by what went wrong with its work."""
        match error:
            case HandlerDied():
                self._counters.add(counted.HANDLER_ENDS, 1, "died")
            case HandlerFailed(reason=Reason.TIMEOUT):
                self._counters.add(counted.HANDLER_ENDS, 1, "timeout")
            case HandlerStopped():
                self._counters.add(counted.HANDLER_ENDS, 1, "stopped")

    def _works(self, process: HandlerProcess) -> None:
        """Let a process be ended with the pool, whatever it is doing from now on."""
        with self._changed:
            self._at_work.append(process)
            if self._stopped:
                process.stop()

    def _rests(self, process: HandlerProcess) -> None:
        with self._changed:
            self._at_work.remove(process)
            self._changed.notify_all()

    def _take(self, opening: Opening) -> OpenHandler | None:
        key, versions = opening.key, (None, opening.raw_version)
        with self._changed:
            for handler in self._waiting:
                fits = opening.raw_version is None or handler.raw_version in versions
                if fits and handler.key == key and handler.process.alive:
                    self._waiting.remove(handler)
                    self._at_work.append(handler.process)
                    return handler
        return None

    def _open(self, opening: Opening) -> OpenHandler:
        label = f"{opening.dataset_name} {opening.environment.package_version}"
        begun = self._spares.take(opening.environment) or self._begin(opening.environment, label)
        process = begun.process
        process.label = label
        process.context = contextvars.copy_context()
        self._works(process)
        try:
            answer = process.call(
                "open",
                entry_point=opening.environment.entry_point,
                config=opening.config,
                raw_root=str(self._raw_root),
                raw=opening.raw,
                dataset_name=opening.dataset_name,
                timeout_secs=self._open_timeout_secs,
            )
            info = answers.info(answer)
        except BaseException as error:
            self._count_end(error)
            self._rests(process)
            begun.close()
            raise
        if info["mode"] == "sharded":
            self._spares.restock(opening.environment)
        # Known from here on by what its config was resolved to: that is what builds ask for.
        resolved = replace(opening, config=info["config"], raw=info["raw"])
        return OpenHandler(resolved.key, begun, info)

    def _begin(self, environment: Environment, label: str) -> Begun:
        with ExitStack() as undone:
            held = self._environments.hold(environment)
            undone.callback(held.close)
            folder = self._store.open_scratch()
            undone.callback(folder.close)
            if self._stopped:
                raise HandlerStopped
            process = HandlerProcess(held.python, folder.path, label, self._memory_bytes)
            self._counters.add(counted.HANDLER_STARTS)
            undone.pop_all()
        return Begun(process, folder, held)

    def _begun_spare(self, environment: Environment) -> Begun:
        """Return a process that has imported its handler, begun in a quiet moment."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._at_work, _QUIET_SECS)
        spare = self._begin(environment, f"{environment.handler} {environment.package_version}")
        self._works(spare.process)
        try:
            spare.process.call(
                "load", entry_point=environment.entry_point, timeout_secs=self._open_timeout_secs
            )
        except BaseException:
            spare.close()
            raise
        finally:
            self._rests(spare.process)
        return spare

    def _give_back(self, handler: OpenHandler) -> None:
        with self._changed:
            self._waiting.insert(0, handler)
            surplus, self._waiting = self._waiting[self._idle :], self._waiting[: self._idle]
        for old in surplus:
            old.close()

    def stop_all(self) -> None:
        """End all processes, for good; what was under way or is begun now ends in
        `HandlerStopped`."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            waiting, self._waiting = self._waiting, []
            at_work = list(self._at_work)
        self._spares.stop()
        for handler in waiting:
            handler.close()
        for process in at_work:
            process.stop()

    def kill_all(self) -> None:
        """End all processes: no locks, no waiting, for a signal's handler."""
        for process in [*(handler.process for handler in self._waiting), *self._at_work]:
            process.kill()
        self._spares.kill()
