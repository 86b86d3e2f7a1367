"""The environment of a new handler version, its packages' wheels in uv's cache.

From a wheel in a source's folder to an environment that a handler can be opened in: found, locked
with hashes, made, entered into the catalog. The peer is what one would type for the same:
`uv venv`, `uv pip install handler.whl`. Neither compiles what it has installed. No network is used.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import uv

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit, in_turns, timed
from benchmarks.service import HANDLERS
from datamill_builder.catalog import Catalog
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.sources import WheelFolder
from datamill_builder.store import Store

LIMIT_SECS = 0.5
OFFLINE = {"UV_OFFLINE": "1"}


def measure(rounds: int) -> list[Comparison]:
    """Make environments of ever new versions, in turns."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        home = Path(name)
        catalog = Catalog(f"sqlite:///{home}/catalog.sqlite")
        (wheels := home / "wheels").mkdir()
        made = Environments(
            home / "environments", catalog, Store(home / "store"), [WheelFolder(wheels)]
        )
        versions = (f"1.0.0+bench.{number}" for number in itertools.count())

        def ours() -> float:
            release(version := next(versions), wheels)
            with timed() as watch:
                python = made.python(made.resolve("classification", version))
            assert python.exists()
            return watch.secs

        def by_hand() -> float:
            wheel = release(version := next(versions), wheels)
            folder = home / version
            with timed() as watch:
                _uv("venv", "--quiet", "--python", sys.executable, folder)
                _uv("pip", "install", "--quiet", "--python", folder / "bin" / "python", wheel)
            return watch.secs

        _fill_cache(home)
        before = dict(os.environ)
        os.environ.update(OFFLINE)
        try:
            measured, peer = in_turns([ours, by_hand], rounds)
        finally:
            os.environ.clear()
            os.environ.update(before)
            catalog.close()
    return [
        Comparison(
            "environment of a new version",
            "s",
            measured,
            "uv venv + uv pip install",
            peer,
            Limit.more_at_most(LIMIT_SECS),
        )
    ]


def release(version: str, folder: Path) -> Path:
    """Write the shipped handlers' wheel as another version of theirs; return its path."""
    shipped = next(HANDLERS.glob("dataset_handlers-*.whl"))
    before = shipped.name.split("-")[1]
    wheel = folder / f"dataset_handlers-{version}-py3-none-any.whl"
    with zipfile.ZipFile(shipped) as source, zipfile.ZipFile(wheel, "w") as target:
        for entry in source.namelist():
            data = source.read(entry)
            if entry.endswith("METADATA"):
                old, new = f"\nVersion: {before}\n", f"\nVersion: {version}\n"
                data = data.replace(old.encode(), new.encode())
            if entry.endswith("RECORD"):
                data = _renamed(_without_digests(data.decode()), before, version).encode()
            target.writestr(_renamed(entry, before, version), data)
    return wheel


def _renamed(text: str, before: str, version: str) -> str:
    return text.replace(f"-{before}.dist-info/", f"-{version}.dist-info/")


def _without_digests(record: str) -> str:
    return "".join(f"{line.split(',')[0]},,\n" for line in record.splitlines())


def _fill_cache(home: Path) -> None:
    """Have the packages fetched, as the first version of all had them fetched."""
    folder = home / "first"
    _uv("venv", "--quiet", "--python", sys.executable, folder)
    wheel = next(HANDLERS.glob("dataset_handlers-*.whl"))
    _uv("pip", "install", "--quiet", "--python", folder / "bin" / "python", wheel)
    shutil.rmtree(folder)


def _uv(*arguments: str | Path) -> None:
    environment = {"UV_SYSTEM_CERTS": "1", **os.environ}
    subprocess.run([uv.find_uv_bin(), *arguments], env=environment, check=True)


if __name__ == "__main__":
    answer(__doc__, measure)
