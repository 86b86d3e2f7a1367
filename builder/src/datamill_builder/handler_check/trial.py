"""A handler on trial: two processes, each with a working folder of its own, as builders have."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datamill.settings import Settings
from datamill_builder.handler_check.demand import Unmet
from datamill_builder.handlers import answers
from datamill_builder.handlers.answers import Description
from datamill_builder.handlers.environments import Environment
from datamill_builder.handlers.process import HandlerProcess

CONTENT_KEY = hashlib.sha256(b"datamill handlers check").hexdigest()
"""Stands for the content key of a build: random numbers and the order of items come from it."""


@dataclass
class Trial:
    """What the demands on one handler need, and what they find out for those that follow."""

    environment: Environment
    python: Path
    settings: Settings
    folder: Path
    given_raw: Path | None
    """The raw folder; None for the one that a request for the handler's name would read."""
    given_config: dict[str, Any]

    description: Description | None = None
    info: dict[str, Any] = field(default_factory=dict)
    """How it was opened with the config: `mode`, resolved `config`, …"""
    _before: dict[str, tuple[int, int]] = field(default_factory=dict)
    _processes: dict[int, HandlerProcess] = field(default_factory=dict)

    @property
    def raw(self) -> Path:
        """The raw folder, there or not."""
        assert self.description is not None
        name = self.description.raw or self.environment.handler
        return self.given_raw or self.settings.raw_folder / name

    def raw_there(self) -> Path:
        """Return the raw folder, and remember how it is; raise `Unmet` where it is not there."""
        if not self.raw.is_dir():
            raise Unmet(f"no raw data: {self.raw} is no folder", "name some to try it on: --raw")
        self._before = _state(self.raw)
        return self.raw

    def raw_changes(self) -> list[str]:
        """Return what is not as it was when `raw_there` was called."""
        after = _state(self.raw)
        return sorted(
            path
            for path in self._before.keys() | after.keys()
            if self._before.get(path) != after.get(path)
        )

    def process(self, number: int = 1) -> HandlerProcess:
        """Return the first or the second process of the handler: a new one where it has died."""
        process = self._processes.get(number)
        if process is None or not process.alive:
            workdir = Path(tempfile.mkdtemp(prefix=self.environment.handler, dir=self.folder))
            label = f"{self.environment.handler} {self.environment.package_version}"
            limit_bytes = self.settings.handler_memory_bytes
            process = HandlerProcess(self.python, workdir, label, limit_bytes)
            self._processes[number] = process
        return process

    def opened(self, number: int = 1) -> HandlerProcess:
        """Return such a process, opened as those are that write shards: by the resolved config."""
        self.open(self.info["config"], number)
        return self.process(number)

    def close(self) -> None:
        """End its processes."""
        for process in self._processes.values():
            process.close()

    def open(self, config: dict[str, Any], number: int = 1) -> dict[str, Any]:
        """Open a handler with a config; on an empty folder where there is no raw data."""
        raw = self.raw.absolute()
        if not raw.is_dir():
            raw = self.folder / "no raw data"
            raw.mkdir(exist_ok=True)
        answer = self.process(number).call(
            "open",
            entry_point=self.environment.entry_point,
            config=config,
            raw_root=str(self.settings.raw_folder),
            raw=str(raw),
            dataset_name=self.environment.handler,
            timeout_secs=self.settings.open_timeout_secs,
        )
        return answers.info(answer)


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and modification time of each file below a folder."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            told = Path(place, name).lstat()
            found[os.path.relpath(Path(place, name), folder)] = (told.st_size, told.st_mtime_ns)
    return found
