"""Where handler packages come from: folders of wheels, git repositories with tags, an index.

Only what the operator declared is asked, and only by handler name and version: nothing of a
request becomes an address, a path or an installer's option.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import uv

from datamill.errors import NothingFound, SettingsError
from datamill.settings import Settings
from datamill_builder.handlers.tools import SourceUnavailable, run_tool
from datamill_builder.handlers.wheels import (
    BadWheel,
    OtherPlatform,
    WheelInfo,
    inspect_wheel,
    same_version,
)

_NAMED_WHEELS = 3
_TAG = re.compile(r"^(?:(?P<prefix>.+?)[-/@])?v?(?P<version>\d[A-Za-z0-9._+!-]*)$")


class UnknownRelease(NothingFound):
    """No source has this release of this handler.

    `declared`: a package is known that declares a handler of this name.
    """

    def __init__(self, message: str, *, declared: bool = True) -> None:
        super().__init__(message)
        self.declared = declared


@dataclass(frozen=True)
class Release:
    """A wheel that holds a handler in the version asked for. `origin`: where from, for people."""

    wheel: Path
    info: WheelInfo
    origin: str


class Source(Protocol):
    """A place that handler packages come from."""

    def fetch(self, handler: str, version: str, scratch: Path) -> Release | None:
        """Return a release, its wheel in `scratch` or where it lies; None where it is not here."""

    def versions(self, handler: str) -> set[str]:
        """Return the versions of a handler that are known here without fetching anything."""


def sources_of(settings: Settings) -> dict[str, Source]:
    """Return the sources that the settings name, in order, each by its text there."""
    return {text: parse_source(text) for text in settings.handler_sources or _default_sources()}


def _default_sources() -> tuple[str, ...]:
    """Return the wheels of this checkout's `handlers/`, where this is a checkout."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "handlers" / "pyproject.toml").exists():
            return (str(folder / "handlers" / "dist"),)
    return ()


def parse_source(text: str) -> Source:
    """Return the source that a setting names; raise `SettingsError`."""
    if text.startswith("git+"):
        return _git(text)
    if text.startswith(("index+http://", "index+https://", "http://", "https://")):
        address, _, fragment = text.removeprefix("index+").partition("#")
        packages = parse_qs(fragment).get("package", ["dataset-handlers"])
        return PackageIndex(address, tuple(p for value in packages for p in value.split(",")))
    path = Path(unquote(urlsplit(text).path)) if text.startswith("file://") else Path(text)
    return WheelFolder(path.expanduser().absolute())


def _git(text: str) -> GitRepository:
    address, _, fragment = text.removeprefix("git+").partition("#")
    if not address.startswith(("https://", "file://")):
        raise SettingsError(
            f"DATAMILL_HANDLER_SOURCES: {text}: git+https:// and git+file:// are allowed"
        )
    return GitRepository(address, parse_qs(fragment).get("subdirectory", [""])[0])


def find_release(sources: list[Source], handler: str, version: str, scratch: Path) -> Release:
    """Return the first source's release of a handler in exactly this version.

    Raises `UnknownRelease`, which names the versions that there are, or `SourceUnavailable`.
    """
    unavailable: SourceUnavailable | None = None
    for source in sources:
        try:
            found = source.fetch(handler, version, scratch)
        except SourceUnavailable as error:
            unavailable = error
            continue
        if found is not None:
            return found
    if unavailable is not None:
        raise unavailable
    known = sorted(
        set().union(*(source.versions(handler) for source in sources)) if sources else ()
    )
    there = f"there are: {', '.join(known)}" if known else "no source has any version of it"
    # A git repository's tags are no proof that it has a handler of this name.
    folders = [source for source in sources if isinstance(source, WheelFolder)]
    declared = any(folder.versions(handler) for folder in folders)
    unread = [text for folder in folders for text in folder.unread()]
    also = f"; not read: {'; '.join(unread[:_NAMED_WHEELS])}" if unread else ""
    message = f"no handler {handler} in version {version}; {there}{also}"
    raise UnknownRelease(message, declared=declared)


@dataclass(frozen=True)
class WheelFolder:
    """A folder of wheels."""

    folder: Path

    def fetch(self, handler: str, version: str, scratch: Path) -> Release | None:
        """Return the wheel that declares the handler in this version."""
        for wheel, info in self.wheels():
            if handler in info.handlers and same_version(info.version, version):
                return Release(wheel, info, f"{wheel.name} in a folder of wheels")
        return None

    def versions(self, handler: str) -> set[str]:
        """Return the versions of a handler that lie here."""
        return {info.version for _, info in self.wheels() if handler in info.handlers}

    def unread(self) -> list[str]:
        """Return what is wrong with wheels here that can't be read, the newest first."""
        found = []
        for wheel in sorted(self.folder.glob("*.whl"), key=_age):
            try:
                inspect_wheel(wheel)
            except OtherPlatform:
                continue
            except BadWheel as error:
                found.append(
                    f"{wheel.name}: {error}" if wheel.name not in str(error) else str(error)
                )
        return found

    def wheels(self) -> list[tuple[Path, WheelInfo]]:
        """Return the wheels that can be used here, and what each says of itself."""
        found = []
        for wheel in sorted(self.folder.glob("*.whl")):
            try:
                found.append((wheel, inspect_wheel(wheel)))
            except BadWheel:
                continue  # a wheel for another platform is no error here
        return found


def build_command(package: Path, dist: Path) -> list[str]:
    """Return the command that builds a package's wheel into the folder `dist`."""
    # Not quiet: of a build that fails it would only say that it failed.
    command = [uv.find_uv_bin(), "build", "--wheel", "--python", sys.executable]
    return [*command, "--out-dir", str(dist), str(package)]


@dataclass(frozen=True)
class GitRepository:
    """A git repository whose tags are releases: `1.2.0`, `v1.2.0`, `<name>-v1.2.0`."""

    address: str
    subdirectory: str

    def fetch(self, handler: str, version: str, scratch: Path) -> Release | None:
        """Build the wheel of the tag, recording its commit."""
        for tag in self._tags_of(handler, version):
            release = self._build(tag, scratch / f"git-{abs(hash(tag))}")
            if handler not in release.info.handlers:
                continue
            if not same_version(release.info.version, version):
                raise UnknownRelease(
                    f"tag {tag} holds version {release.info.version} of {release.info.package}, "
                    f"not {version}: the tag or the package lies"
                )
            return release
        return None

    def versions(self, handler: str) -> set[str]:
        """Return the versions that the tags name."""
        try:
            return {version for _, version in self.tags()}
        except SourceUnavailable:
            return set()

    def _tags_of(self, handler: str, version: str) -> list[str]:
        fitting = [tag for tag, tagged in self.tags() if same_version(tagged, version)]
        # A tag that names the handler is a closer match than one that names another package.
        return sorted(fitting, key=lambda tag: (handler not in tag, len(tag), tag))

    def tags(self) -> list[tuple[str, str]]:
        """Return the tags that name a version, each with it; raise `SourceUnavailable`."""
        listing = self._run(["git", "ls-remote", "--tags", "--refs", self.address], Path("/"))
        tags = [
            line.split("refs/tags/", 1)[1] for line in listing.splitlines() if "refs/tags/" in line
        ]
        return [(tag, match["version"]) for tag in tags if (match := _TAG.match(tag))]

    def _build(self, tag: str, folder: Path) -> Release:
        # By its full name: a branch may be called like the tag.
        folder.mkdir()
        self._run(["git", "init", "--quiet"], folder)
        fetch = ["git", "fetch", "--quiet", "--depth", "1", self.address, f"refs/tags/{tag}"]
        self._run(fetch, folder)
        self._run(["git", "checkout", "--quiet", "FETCH_HEAD"], folder)
        commit = self._run(["git", "rev-parse", "HEAD"], folder).strip()
        moment = self._run(["git", "log", "-1", "--format=%ct"], folder).strip()
        dist = folder / ".datamill-dist"
        build = build_command(folder / self.subdirectory, dist)
        self._run(build, folder, {"SOURCE_DATE_EPOCH": moment})
        (wheel,) = dist.glob("*.whl")
        return Release(wheel, inspect_wheel(wheel), f"git tag {tag}, commit {commit}")

    def _run(self, command: list[str], folder: Path, extra: dict[str, str] | None = None) -> str:
        environment = {
            **os.environ,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file:https",
            # The operator declared this repository, whoever its files belong to.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            **(extra or {}),
        }
        return run_tool(command, folder, environment)


@dataclass(frozen=True)
class PackageIndex:
    """A package index (the simple repository API), for packages that the operator names."""

    address: str
    packages: tuple[str, ...]

    def fetch(self, handler: str, version: str, scratch: Path) -> Release | None:
        """Download the wheel of the first package that declares the handler in this version."""
        for package in self.packages:
            wheel = self._download(package, version, scratch / f"index-{package}")
            if wheel is None:
                continue
            info = inspect_wheel(wheel)
            if handler in info.handlers and same_version(info.version, version):
                return Release(wheel, info, f"{wheel.name} from the package index")
        return None

    def versions(self, handler: str) -> set[str]:
        """Return nothing: an index can't be asked for a handler's name."""
        return set()

    def _download(self, package: str, version: str, folder: Path) -> Path | None:
        command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
        command += ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
        command += ["--index-url", self.address, "--dest", str(folder), f"{package}=={version}"]
        try:
            run_tool(command, Path("/"), dict(os.environ))
        except SourceUnavailable as error:
            # An index that can't be reached has no matching distribution either, says pip.
            if "No matching distribution" in str(error) and "Retrying" not in str(error):
                return None
            raise
        return next(iter(folder.glob("*.whl")), None)


def _age(wheel: Path) -> float:
    return -wheel.stat().st_mtime if wheel.exists() else 0.0
