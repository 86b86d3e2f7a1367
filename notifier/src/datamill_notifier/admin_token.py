"""What administration over HTTP asks for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from datamill.errors import SettingsError
from datamill.settings import Settings

TOKEN_FILE = "admin-token"
"""In the home, readable by its owner only."""


def admin_token(settings: Settings) -> str:
    """Return the token of the settings, else the home's, which is made at need.

    Raises `SettingsError` where the home's can't be read or written.
    """
    if settings.admin_token and settings.admin_token.get_secret_value():
        return settings.admin_token.get_secret_value()
    path = settings.home / TOKEN_FILE
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        _make(path)
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{TOKEN_FILE} in the home can't be used: {error.strerror}") from error
    if not token:
        raise SettingsError(f"{TOKEN_FILE} in the home is empty: delete it, a new one is made")
    return token


def _make(path: Path) -> None:
    """Write a new token to a name of its own; the first of several that do so at once counts."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
