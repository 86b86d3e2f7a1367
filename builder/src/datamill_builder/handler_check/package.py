"""The demands on a package as a whole: it can be built, says what it holds, can be installed."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from os import environ
from pathlib import Path

from datamill.request import DATASET_NAME_PATTERN, HANDLER_VERSION_PATTERN
from datamill_builder.catalog import Catalog
from datamill_builder.handler_check.demand import Demand, Unmet
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.sources import Source, WheelFolder, build_command
from datamill_builder.handlers.tools import run_tool
from datamill_builder.handlers.wheels import ENTRY_POINT_GROUP, WheelInfo, inspect_wheel
from datamill_builder.store import Store

_BUILT = "`uv build --wheel` has to make a wheel of it"
_DECLARED = (
    f'pyproject.toml has to declare each handler: [project.entry-points."{ENTRY_POINT_GROUP}"], '
    'name = "module:Class"'
)
_KNOWN = (
    "what it needs has to be in the index, or in a folder of wheels that is a source: "
    "--handler-source"
)


class Package:
    """A folder with a `pyproject.toml`, or a wheel; all that is made of it is in `folder`."""

    def __init__(self, path: Path, folder: Path, sources: list[Source]) -> None:
        self.path = path
        self.info = WheelInfo("", "", {})
        self.python = Path()
        self.environment: Environment | None = None
        self._dist = folder / "dist"
        # A catalog and a store of its own: a builder keeps a version as it was first seen.
        self._catalog = Catalog(f"sqlite:///{folder / 'catalog.sqlite'}")
        own: list[Source] = [WheelFolder(self._dist)]
        self._environments = Environments(
            folder / "environments", self._catalog, Store(folder / "store"), own + sources
        )

    def close(self) -> None:
        """Close what is open of it."""
        self._catalog.close()

    def demands(self) -> list[Demand]:
        """Return what is demanded of it."""
        return [
            Demand("wheel", self._wheel, _BUILT, needed=True),
            Demand("entry points", self._entry_points, _DECLARED, needed=True),
            Demand("environment", self._environment, _KNOWN, needed=True),
        ]

    def environment_of(self, handler: str) -> Environment:
        """Return the environment of one of its handlers: they share one."""
        assert self.environment is not None
        return replace(self.environment, handler=handler, entry_point=self.info.handlers[handler])

    def _wheel(self) -> str:
        self._dist.mkdir()
        if self.path.is_dir():
            if not (self.path / "pyproject.toml").is_file():
                raise Unmet("no pyproject.toml is in this folder", "name a package's folder")
            run_tool(build_command(self.path.absolute(), self._dist), self._dist, dict(environ))
        else:
            shutil.copyfile(self.path, self._dist / self.path.name)
        wheels = sorted(self._dist.glob("*.whl"))
        if len(wheels) != 1:
            raise Unmet(f"{self.path.name} is no wheel" if not wheels else "it is several wheels")
        self.info = inspect_wheel(wheels[0])
        return wheels[0].name

    def _entry_points(self) -> str:
        handlers, version = self.info.handlers, self.info.version
        if not handlers:
            raise Unmet(f"the group {ENTRY_POINT_GROUP} has no entry points")
        for name in handlers:
            if not re.match(DATASET_NAME_PATTERN, name):
                raise Unmet(
                    f"{name} can't be asked for: names are lower-case letters, digits, - and _, "
                    "at most 64"
                )
        if not re.match(HANDLER_VERSION_PATTERN, version):
            raise Unmet(
                f"the version {version} can't be asked for",
                "versions are letters, digits, and . _ + -, at most 64",
            )
        return f"{', '.join(sorted(handlers))} in version {version}"

    def _environment(self) -> str:
        handler = min(self.info.handlers)
        self.environment = self._environments.resolve(handler, self.info.version)
        self.python = self._environments.python(self.environment)
        others = self.environment.packages
        listed = ", ".join(f"{name} {version}" for name, version in sorted(others.items()))
        return f"{len(others)} other packages: {listed}" if others else "no other packages"
