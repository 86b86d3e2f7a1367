"""Which handlers there are: what the sources offer, as far as that can be listed, and was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

from datamill.errors import first_line
from datamill.logs import without_passwords
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.sources import (
    GitRepository,
    PackageIndex,
    Source,
    WheelFolder,
)
from datamill_builder.handlers.tools import SourceUnavailable


@dataclass(frozen=True)
class Offer:
    """A handler in a version. `source`: where it comes from, for people."""

    handler: str
    version: str
    package: str
    source: str
    environment: str | None = None
    """The key of the environment that the release was resolved to, if it was."""
    bytes: int | None = None
    """What the environment takes on this machine's disk; None where it is not made."""

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return vars(self)


def offers(sources: dict[str, Source], environments: Environments) -> list[Offer]:
    """Return the handlers that are known by name, sorted; the first source that has one counts."""
    resolved = {(each.handler, each.package_version): each for each in environments.resolved()}
    made = environments.made_bytes()
    found: dict[tuple[str, str], Offer] = {}
    for text, source in sources.items():
        if isinstance(source, WheelFolder):
            for _, info in source.wheels():
                for handler in info.handlers:
                    known = resolved.get((handler, info.version))
                    offer = _offer(handler, info.version, info.package, text, known, made)
                    found.setdefault((handler, info.version), offer)
    for (handler, version), known in resolved.items():
        offer = _offer(handler, version, known.package, known.origin, known, made)
        found.setdefault((handler, version), offer)
    return sorted(found.values(), key=lambda offer: (offer.handler, _place(offer.version)))


def newest_version(
    sources: dict[str, Source], environments: Environments, handler: str
) -> str | None:
    """Return the newest version of a handler that is known, final releases before others."""
    versions = {
        offer.version for offer in offers(sources, environments) if offer.handler == handler
    }
    if not versions:
        # A git repository's tags say nothing of names: this handler may be in them.
        versions = set().union(*(source.versions(handler) for source in sources.values()))
    return max(versions, key=lambda each: (_is_final(each), _place(each)), default=None)


def _is_final(version: str) -> bool:
    try:
        return not Version(version).is_prerelease
    except InvalidVersion:
        return False


def _offer(
    handler: str,
    version: str,
    package: str,
    source: str,
    known: Environment | None,
    made: dict[str, int],
) -> Offer:
    key = known.key if known else None
    return Offer(handler, version, package, source, key, made.get(key) if key else None)


def _place(version: str) -> tuple[bool, Any]:
    try:
        return True, Version(version)
    except InvalidVersion:
        return False, version


def told_of(text: str, source: Source) -> str:
    """Return what there is to say of a source beside the handlers that it offers by name."""
    match source:
        case WheelFolder() if not source.folder.is_dir():
            told = "is no folder"
        case WheelFolder():
            unread = source.unread()
            told = f"not read: {'; '.join(unread)}" if unread else _count(source)
        case GitRepository():
            told = _tags(source)
        case PackageIndex():
            told = f"can't be listed; packages: {', '.join(source.packages)}"
        case _:
            told = "can't be listed"
    return f"{without_passwords(text)}: {told}"


def _count(source: WheelFolder) -> str:
    count = len(source.wheels())
    return "a wheel" if count == 1 else f"{count or 'no'} wheels"


def _tags(source: GitRepository) -> str:
    try:
        versions = {version for _, version in source.tags()}
    except SourceUnavailable as error:
        return first_line(error)
    listed = ", ".join(sorted(versions, key=_place)) or "none"
    return f"versions {listed}; its handlers are listed once they were asked for"
