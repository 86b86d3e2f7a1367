"""Providing a RabbitMQ server where there is none, without touching the system."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from datamill_producer.rabbitmq import debian
from datamill_producer.rabbitmq.errors import NoRabbitMQ
from datamill_producer.rabbitmq.installation import (
    SCRIPT_FOLDERS,
    Installation,
    cache_folder,
    cached_installation,
    find_installation,
)


def ensure_installation(
    log: Callable[[str], None],
    environment: Mapping[str, str] = os.environ,
    folders: Iterable[str] = SCRIPT_FOLDERS,
) -> Installation:
    """Return a server, fetching one first where needed; raise `NoRabbitMQ` with the choices.

    `log` gets a line before each thing that takes time.
    """
    found = find_installation(environment, folders)
    if found is not None:
        return found
    inherited = environment.get("PATH", os.defpath)
    if sys.platform == "darwin" and shutil.which("brew", path=inherited):
        return _from_homebrew(log, environment)
    if all(shutil.which(tool, path=inherited) for tool in ("apt-get", "dpkg")):
        return _from_debian(log, environment)
    raise NoRabbitMQ


def ensure_release(
    release: str, log: Callable[[str], None], environment: Mapping[str, str] = os.environ
) -> Installation:
    """Return the server of another release of this Debian or Ubuntu, fetching it where needed.

    `release` is a suite of its archive, such as `sid`: a copy that is there stays what it was
    when it was fetched. Raises `NoRabbitMQ`.
    """
    found = cached_installation(environment, release)
    return found or _from_debian(log, environment, release)


def _from_homebrew(log: Callable[[str], None], environment: Mapping[str, str]) -> Installation:
    log("Installing RabbitMQ: brew install rabbitmq")
    # Homebrew locks by itself and starts no service.
    done = subprocess.run(
        ["brew", "install", "rabbitmq"],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    found = find_installation(environment)
    if done.returncode or found is None:
        raise NoRabbitMQ("`brew install rabbitmq` did not install it")
    return found


def _from_debian(
    log: Callable[[str], None], environment: Mapping[str, str], release: str = ""
) -> Installation:
    """Unpack Debian's packages into the user's cache, for root too.

    `apt-get install` would start a system-wide node on all interfaces and have it start again
    with the machine.
    """
    folder = cache_folder(environment, release)
    if any(character.isspace() for character in str(folder)):
        raise NoRabbitMQ(f"RabbitMQ's scripts don't work in a folder with spaces ({folder})")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / "lock"):
            # Another process may have done it while this one waited.
            if (found := cached_installation(environment, release)) is None:
                megabytes = 50 if release else 35
                log(f"Fetching RabbitMQ's packages (about {megabytes} MB) into {folder}")
                found = debian.provide(folder / "server", environment, release)
            return found
    except OSError as error:
        hint = "XDG_CACHE_HOME names another cache folder"
        raise NoRabbitMQ(f"RabbitMQ can't be unpacked into {folder} ({error}; {hint})") from error


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
