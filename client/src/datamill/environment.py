"""The settings that are in force in this process, read again only when they may have changed.

Reading settings takes milliseconds, an answer by the broker one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datamill.settings import Settings

_last: tuple[tuple[object, ...], Settings] | None = None


def settings_in_force() -> Settings:
    """Return the settings of now; raise `SettingsError` that names the setting at fault."""
    global _last
    if _last is None or _last[0] != _mark(_last[1].home):
        from datamill.settings import load_settings

        settings = load_settings()
        _last = (_mark(settings.home), settings)
    return _last[1]


def _mark(home: Path) -> tuple[object, ...]:
    """Return what changes when the environment or the home's file changes."""
    variables = sorted(item for item in os.environ.items() if item[0].startswith("DATAMILL_"))
    try:
        file = (home / "datamill.toml").stat()
    except OSError:
        return (*variables, os.environ.get("HOME"))
    return (*variables, os.environ.get("HOME"), file.st_mtime_ns, file.st_size)
