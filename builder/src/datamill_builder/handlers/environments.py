"""Handler environments: one isolated virtual environment per handler release, made once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv
from sqlalchemy import select

from datamill import tracing
from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog, counted
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.rows import insert_new
from datamill_builder.catalog.schema import environments
from datamill_builder.handlers.sources import Source, WheelFolder, find_release
from datamill_builder.handlers.tools import SourceUnavailable, pause, run_tool
from datamill_builder.handlers.use import BEING_MADE, IN_USE, Use
from datamill_builder.handlers.wheels import file_sha256
from datamill_builder.store import Store

COMPLETE = ".datamill-complete"
"""Is in a folder whose environment is whole."""

_LOOK_SECS = 0.1
_BLOCK_BYTES = 512  # of stat's blocks, whatever those of the disk are


class EnvironmentFailed(DatamillError):
    """The handler's environment could not be made."""


@dataclass(frozen=True)
class Environment:
    """A handler release, resolved to exact packages. Equal on every builder."""

    handler: str
    package: str
    package_version: str
    entry_point: str
    wheel: str
    wheel_sha256: str
    origin: str
    lock: str

    @property
    def key(self) -> str:
        """What names the environment's folder: all that it is made from."""
        return hashlib.sha256(f"{self.wheel_sha256}\n{self.lock}".encode()).hexdigest()[:32]

    @property
    def platform(self) -> str:
        """The interpreter and the platform that it is locked for."""
        return self.lock.splitlines()[0].removeprefix("# ")

    @property
    def packages(self) -> dict[str, str]:
        """Name → version of every package beside the handler's own."""
        pins = (line.split("==", 1) for line in self.lock.splitlines() if "==" in line)
        return {name.strip(): rest.split()[0] for name, rest in pins}


@dataclass(frozen=True)
class HeldEnvironment:
    """The Python of an environment that is in use; the lock is free again when its holder dies."""

    python: Path
    use: Use

    def close(self) -> None:
        """Let the environment be removed."""
        self.use.close()


class Environments:
    """Finds releases, resolves each once, and makes their environments on this machine."""

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        store: Store,
        sources: list[Source],
        counters: Counters | None = None,
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._store = store
        self._sources = sources
        self._counters = counters or Counters()
        folder.mkdir(parents=True, exist_ok=True)

    def resolve(self, handler: str, version: str) -> Environment:
        """Return the environment of a handler release, resolved now or by whoever came first.

        Raises `UnknownRelease`, `SourceUnavailable` or `EnvironmentFailed`.
        """
        release = _release(handler, version)
        known = self._known(release)
        if known is not None:
            return known
        with self._locked(f"resolve-{release[:32]}"):
            return self._known(release) or self._resolve(release, handler, version)

    def is_there(self, handler: str, version: str) -> bool:
        """Return whether a release is resolved and its environment made on this machine."""
        known = self._known(_release(handler, version))
        return known is not None and self.is_made(known)

    def resolved(self) -> list[Environment]:
        """Return the environments of all releases that were resolved for this platform."""
        with self._catalog.read() as connection:
            rows = connection.execute(select(environments).order_by(environments.c.created_at))
            found = map(environment_of_row, rows.all())
        return [each for each in found if each.platform == _platform()]

    def made_bytes(self) -> dict[str, int]:
        """Return what each environment on this machine takes on the disk, by its key.

        What they share with uv's cache and with each other is counted wherever it is.
        """
        return {
            mark.parent.name: sum(
                file.lstat().st_blocks * _BLOCK_BYTES for file in mark.parent.rglob("*")
            )
            for mark in self._folder.glob(f"*/{COMPLETE}")
        }

    def is_made(self, environment: Environment) -> bool:
        """Return whether an environment is made on this machine."""
        return (self._folder / environment.key / COMPLETE).exists()

    def python(self, environment: Environment) -> Path:
        """Return the Python of an environment on this machine, making the environment at need."""
        folder = self._folder / environment.key
        python = folder / "bin" / "python"
        if not self.is_made(environment):
            with self._locked(environment.key):
                if not self.is_made(environment):
                    self._make_counted(environment, folder, python)
        return python

    def _make_counted(self, environment: Environment, folder: Path, python: Path) -> None:
        began = time.monotonic()
        named = {"package": environment.package, "version": environment.package_version}
        try:
            with tracing.span("environment", **named):
                self._make(environment, folder, python)
        except EnvironmentFailed:
            self._counters.add(counted.ENVIRONMENT_FAILURES)
            raise
        self._counters.observe(counted.ENVIRONMENT_SECS, time.monotonic() - began)

    @contextmanager
    def holding(self, environment: Environment) -> Iterator[Path]:
        """Give the Python of an environment, which nobody removes until the end."""
        held = self.hold(environment)
        try:
            yield held.python
        finally:
            held.close()

    def hold(self, environment: Environment) -> HeldEnvironment:
        """Return an environment, made at need, that nobody removes until it is closed."""
        use = Use(self._folder / f"{environment.key}{IN_USE}")
        try:
            return HeldEnvironment(self.python(environment), use)
        except BaseException:
            use.close()
            raise

    def _known(self, release: str) -> Environment | None:
        with self._catalog.read() as connection:
            row = connection.execute(
                select(environments).where(environments.c.release == release)
            ).first()
        if row is None or not self._store.wheel_path(row.wheel_sha256, row.wheel).exists():
            return None
        return environment_of_row(row)

    def _resolve(self, release: str, handler: str, version: str) -> Environment:
        with self._store.scratch() as scratch:
            found = find_release(self._sources, handler, version, scratch)
            copy = scratch / found.wheel.name
            if found.wheel != copy:
                shutil.copyfile(found.wheel, copy)
            digest = file_sha256(copy)
            wheel = self._store.keep_wheel(copy, digest)
        environment = Environment(
            handler,
            found.info.package,
            found.info.version,
            found.info.handlers[handler],
            wheel.name,
            digest,
            found.origin,
            _lock(wheel, found.info.package, self._links()),
        )
        with self._catalog.write() as change:
            row = {
                "release": release,
                "handler": handler,
                "handler_version": version,
                "package": environment.package,
                "package_version": environment.package_version,
                "entry_point": environment.entry_point,
                "wheel": environment.wheel,
                "wheel_sha256": digest,
                "origin": environment.origin,
                "lock": environment.lock,
                "created_at": time.time(),
            }
            insert_new(change.connection, environments, row)
        return self._known(release) or environment

    def _make(self, environment: Environment, folder: Path, python: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        wheel = self._store.wheel_path(environment.wheel_sha256, environment.wheel)
        lock = folder.with_suffix(".lock.txt")
        lock.write_text(
            f"{environment.lock}{environment.package} @ {wheel.as_uri()} "
            f"--hash=sha256:{environment.wheel_sha256}\n"
        )
        try:
            _uv(["venv", "--quiet", "--python", sys.executable, str(folder)])
            # Packages share their files with uv's cache, where running processes write nothing.
            # They are not compiled here: that takes twenty times as long as all the rest, most of
            # it for modules that no handler imports. The first process compiles what it imports.
            install = ["pip", "install", "--quiet", "--python", str(python), "--no-deps"]
            locked = ["--require-hashes", "--requirement", str(lock), *self._links()]
            _uv([*install, *locked])
        except SourceUnavailable as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise EnvironmentFailed(f"its environment could not be made: {error}") from error
        (folder / COMPLETE).touch()

    def _links(self) -> list[str]:
        """Return what lets a handler package need another one that lies in a folder of wheels."""
        folders = [source.folder for source in self._sources if isinstance(source, WheelFolder)]
        return [f"--find-links={folder}" for folder in folders if folder.is_dir()]

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold a lock that is free again when its holder dies."""
        descriptor = os.open(self._folder / f"{name}{BEING_MADE}", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            while not _lock_now(descriptor):
                pause(_LOOK_SECS)  # not for ever: a builder that stops waits for nobody
            yield
        finally:
            os.close(descriptor)


def environment_of_row(row: Any) -> Environment:
    """Return what a row of the catalog's `environments` says."""
    return Environment(
        row.handler,
        row.package,
        row.package_version,
        row.entry_point,
        row.wheel,
        row.wheel_sha256,
        row.origin,
        row.lock,
    )


def _release(handler: str, version: str) -> str:
    return hashlib.sha256(f"{handler} {version} {_platform()}".encode()).hexdigest()


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _platform() -> str:
    return f"{sys.implementation.cache_tag} {sys.platform} {platform.machine()}"


def _lock(wheel: Path, package: str, links: list[str]) -> str:
    """Return exact packages with hashes, for what the wheel needs, its own line left out."""
    command = ["pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-package", package, "--python", sys.executable]
    command += links
    with_wheel = f"{package} @ {wheel.as_uri()}\n"
    requirement = wheel.with_suffix(".in")
    requirement.write_text(with_wheel)
    try:
        locked = _uv([*command, str(requirement)])
    except SourceUnavailable as error:
        raise EnvironmentFailed(f"its packages could not be resolved: {error}") from error
    pins = [line for line in locked.splitlines() if not line.startswith("#")]
    return f"# {_platform()}\n" + "\n".join(pins) + "\n"


def _uv(arguments: list[str]) -> str:
    environment = dict(os.environ)
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    environment.pop("VIRTUAL_ENV", None)
    return run_tool([uv.find_uv_bin(), *arguments], Path("/"), environment)
