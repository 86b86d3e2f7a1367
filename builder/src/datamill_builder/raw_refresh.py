"""Reading raw data again, to say what has changed in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datamill.settings import Settings
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.raw_versions import Seen, forget_marks_of, versions_of
from datamill_builder.raw import raw_version
from datamill_builder.raw_contents import forget_files, known_files, stored_path
from datamill_builder.raw_listing import raw_files

MOST_NAMED = 20
_NS = 1e9


@dataclass(frozen=True)
class Changes:
    """Files that are not as they were, by their paths; sorted."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it for programs; the first of many are named."""
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return {
            kind: {"count": len(paths), "first": paths[:MOST_NAMED]}
            for kind, paths in kinds.items()
        }


@dataclass(frozen=True)
class Refreshed:
    """What reading a folder again has shown.

    `before`: the version that was seen last; None where none ever was. `changes`: None where what
    is known of single files does not tell. `resolved_anew`: so many dataset ids are built of the
    new version when they are asked for.
    """

    folder: Path
    before: Seen | None
    after: Seen
    changes: Changes | None
    resolved_anew: int

    @property
    def is_other(self) -> bool:
        """Whether the version is another than before."""
        return self.before is None or self.before.version != self.after.version


def refresh(settings: Settings, catalog: Catalog, folder: Path) -> Refreshed:
    """Read the raw data in a folder again; raise `UnknownDataset` where it is none.

    Archives of older versions stay what they are.
    """
    with catalog.read() as connection:
        seen = versions_of(connection, str(folder))
    before = seen[0] if seen else None
    known = known_files(catalog, folder)
    version = raw_version(catalog, folder, settings.raw_digest).digest
    now = known_files(catalog, folder)
    listed = {stored_path(file.path): file.mtime_ns / _NS for file in raw_files(folder)}
    changes = _changes(known, now, listed, before)
    forget_files(catalog, folder, now.keys() - listed.keys())
    with catalog.read() as connection:
        after = next(
            each for each in versions_of(connection, str(folder)) if each.version == version
        )
    anew = 0
    if before is not None and before.version != version:
        with catalog.write() as change:
            anew = forget_marks_of(change, str(folder))
    return Refreshed(folder, before, after, changes, anew)


def _changes(
    known: dict[str, str], now: dict[str, str], listed: dict[str, float], before: Seen | None
) -> Changes | None:
    if known:
        both = known.keys() & listed.keys()
        return Changes(
            added=sorted(listed.keys() - known.keys()),
            removed=sorted(known.keys() - listed.keys()),
            changed=sorted(path for path in both if known[path] != now.get(path)),
        )
    if before is None or before.last_seen_at is None:
        return None
    # Of large raw data no single file's content is known: its times tell what is new.
    newer = sorted(path for path, at in listed.items() if at > before.last_seen_at)
    return Changes(changed=newer) if newer else None
