"""run.json: how `datamill up` can be reached, for clients on the same machine."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datamill.errors import ServiceUnavailable

if TYPE_CHECKING:
    from datamill.settings import Settings

UP = "up"
"""The process id of `datamill up` among `RunFile.pids`; the others are its parts."""


class RunFile(BaseModel):
    """What run.json holds. It carries passwords: only its owner may read it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    broker_url: str
    http_url: str
    admin_token: str | None = None
    pids: dict[str, int] = Field(default_factory=dict)
    """`up`, `broker`, `builder`, `notifier`."""


@dataclass(frozen=True)
class Service:
    """How a service can be reached; at least one of the addresses is known."""

    broker_url: str | None
    http_url: str | None
    admin_token: str | None = None


def write_run_file(path: Path, contents: RunFile) -> None:
    """Write run.json, whole or not at all, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes files of mode 0600.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(contents.model_dump_json(indent=2) + "\n")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_run_file(path: Path) -> RunFile | None:
    """Return what run.json says; None where there is none, or its `datamill up` is gone."""
    try:
        contents = RunFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    up = contents.pids.get(UP)
    return contents if up is None or is_alive(up) else None


def remove_run_file(path: Path) -> None:
    """Remove run.json, if it is there."""
    path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine runs."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it runs, as somebody else
    return True


def find_service(settings: Settings) -> Service:
    """Return the service that the settings name, else the one that runs on this machine.

    Raises `ServiceUnavailable` where there is neither.
    """
    broker_url = settings.broker_url.get_secret_value() if settings.broker_url else None
    token = settings.admin_token.get_secret_value() if settings.admin_token else None
    running = read_run_file(settings.run_file)
    if (
        running
        and broker_url in (None, running.broker_url)
        and settings.url
        in (
            None,
            running.http_url,
        )
    ):
        return Service(running.broker_url, running.http_url, token or running.admin_token)
    # What runs here is another service than the one that is named: nothing of it is mixed in.
    if broker_url or settings.url:
        return Service(broker_url, settings.url, token)
    raise ServiceUnavailable(
        "no Datamill service found: set DATAMILL_BROKER_URL (or DATAMILL_URL), "
        "or start `datamill up` on this machine"
    )
