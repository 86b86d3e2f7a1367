"""Where a RabbitMQ server is on this machine, if it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from datamill_producer.rabbitmq.errors import NoRabbitMQ

FOLDER_SETTING = "DATAMILL_RABBITMQ_DIR"
"""Names the folder with `rabbitmq-server`; nothing else is looked at then."""

SCRIPT_FOLDERS = (
    "/usr/lib/rabbitmq/bin",  # Debian, Ubuntu, Fedora: not /usr/sbin, which works for root only
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin",
)
ERLANG_FOLDERS = (
    "/usr/lib/erlang/bin",
    "/usr/lib64/erlang/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/erlang/bin",
    "/usr/local/bin",
    "/usr/local/opt/erlang/bin",
    "/home/linuxbrew/.linuxbrew/bin",
)
COMPLETE = "complete"
"""Written last into our own copy; holds the folder that its scripts were made for."""


@dataclass(frozen=True)
class Installation:
    """A RabbitMQ server: the folder with its scripts, and what PATH needs to find Erlang."""

    scripts: Path
    path: tuple[Path, ...] = ()

    def search_path(self, inherited: str) -> str:
        """Return a PATH on which the scripts find `erl` and `epmd`."""
        return os.pathsep.join([*map(str, self.path), inherited or os.defpath])

    def program(self, name: str, inherited: str) -> str | None:
        """Return where Erlang's program `name` is, or None."""
        return shutil.which(name, path=self.search_path(inherited))


def cache_folder(environment: Mapping[str, str], release: str = "") -> Path:
    """Return the folder of this user for a server that we fetched ourselves.

    `release` names the one of another release of the distribution than the system's.
    """
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    name = f"rabbitmq-{release}" if release else "rabbitmq"
    return Path(cache).expanduser().absolute() / "datamill-tools" / name


def unpacked(root: Path) -> Installation:
    """Return the installation in Debian packages that were unpacked below `root`."""
    return Installation(root / "usr/lib/rabbitmq/bin", (root / "usr/lib/erlang/bin",))


def find_installation(
    environment: Mapping[str, str] = os.environ, folders: Iterable[str] = SCRIPT_FOLDERS
) -> Installation | None:
    """Return a server that is there already, or None.

    Looked for in `folders`, on PATH, and last in our own cache. Raises `NoRabbitMQ` where the
    setting `DATAMILL_RABBITMQ_DIR` names a folder without one.
    """
    inherited = environment.get("PATH", os.defpath)
    if named := environment.get(FOLDER_SETTING):
        chosen = _with_erlang(Path(named).expanduser().absolute(), inherited)
        if chosen is None:
            raise NoRabbitMQ(f"{FOLDER_SETTING}={named} holds no rabbitmq-server with Erlang")
        return chosen
    for scripts in (*map(Path, folders), *_on_path(inherited)):
        if found := _with_erlang(scripts, inherited):
            return found
    return cached_installation(environment)


def cached_installation(environment: Mapping[str, str], release: str = "") -> Installation | None:
    """Return our own copy, if it is whole and where it was made."""
    root = cache_folder(environment, release) / "server"
    try:
        whole = (root / COMPLETE).read_text(encoding="utf-8") == str(root)
    except OSError:
        return None
    return unpacked(root) if whole else None


def _on_path(inherited: str) -> Iterator[Path]:
    for folder in inherited.split(os.pathsep):
        script = Path(folder or ".") / "rabbitmq-server"
        if script.exists():
            yield script.resolve().parent


def _with_erlang(scripts: Path, inherited: str) -> Installation | None:
    if not _is_script_folder(scripts):
        return None
    # A relocated server brings its own Erlang beside it: <root>/usr/lib/{rabbitmq,erlang}/bin. That
    # comes first: a newer server does not run with an older Erlang that PATH may have.
    beside = scripts.parent.parent / "erlang" / "bin"
    first = [(beside,)] if beside.is_dir() else []
    for path in (*first, (), *((Path(folder),) for folder in ERLANG_FOLDERS)):
        candidate = Installation(scripts, path)
        if candidate.program("erl", inherited) and candidate.program("epmd", inherited):
            return candidate
    return None


def _is_script_folder(folder: Path) -> bool:
    # The wrappers in /usr/sbin switch to the user `rabbitmq` and so work for root only. The
    # scripts proper read `rabbitmq-env` beside them.
    return os.access(folder / "rabbitmq-server", os.X_OK) and (folder / "rabbitmq-env").exists()
