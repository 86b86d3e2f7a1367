"""apt and dpkg in a folder of their own, which needs no root and leaves the system as it is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datamill_producer.rabbitmq.errors import NoRabbitMQ

FETCH_TIMEOUT_SECS = 900.0
_DEPENDENCY = re.compile(r"^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9+.-]+)$", re.MULTILINE)


class Apt:
    """Fetches packages into `work` and unpacks them.

    `sources` is the text of a deb822 file of sources to use instead of the system's. All methods
    raise `NoRabbitMQ` where a tool takes too long.
    """

    def __init__(self, work: Path, environment: Mapping[str, str], sources: str = "") -> None:
        self._work = work
        self._environment = environment
        for folder in ("lists/partial", "cache/archives/partial", "sources"):
            (work / folder).mkdir(parents=True)
        (work / "status").touch()
        self._options = [
            *("-o", f"Dir::State::lists={work / 'lists'}"),
            *("-o", f"Dir::Cache={work / 'cache'}"),
            # As if nothing were installed: else apt asks for the installed version of a package,
            # which its sources may not have any more.
            *("-o", f"Dir::State::status={work / 'status'}"),
            *("-o", "Debug::NoLocking=1"),
            *("-o", "Acquire::Languages=none"),
            # As root, apt would fetch as a user who can't write here.
            *("-o", "APT::Sandbox::User=root"),
        ]
        if sources:
            (work / "sources/release.sources").write_text(sources, encoding="utf-8")
            self._options += ["-o", "Dir::Etc::sourcelist=/dev/null"]
            self._options += ["-o", f"Dir::Etc::sourceparts={work / 'sources'}"]
        self._updates: list[subprocess.CompletedProcess[str]] = []

    def update(self) -> None:
        """Fetch the lists of packages."""
        command = ["apt-get", "-qq", *self._options, "update"]
        # One broken source of many fails it; what counts is that the packages come.
        self._updates.append(finish(command, self._work, self._environment))

    def download(self, packages: Sequence[str]) -> None:
        """Fetch packages; raise `NoRabbitMQ` with apt's first complaint where one can't be had."""
        command = ["apt-get", "-qq", *self._options, "download", *packages]
        fetched = finish(command, self._work, self._environment)
        if fetched.returncode:
            reason = first_complaint(fetched, *self._updates)
            raise NoRabbitMQ(f"apt-get could not fetch {packages[0]} ({reason})")

    def with_dependencies(self, package: str, followed: re.Pattern[str]) -> list[str]:
        """Return a package and all that it needs, as far as the names match `followed`."""
        found = [package]
        latest = found
        while latest:
            command = ["apt-cache", *self._options, "depends", "--important", *latest]
            said = finish(command, self._work, self._environment).stdout
            names = dict.fromkeys(_DEPENDENCY.findall(said))
            latest = [name for name in names if followed.match(name) and name not in found]
            found += latest
        return found

    def unpack(self, root: Path) -> None:
        """Unpack what was fetched below `root`."""
        for package in sorted(self._work.glob("*.deb")):
            command = ["dpkg", "-x", str(package), str(root)]
            done = finish(command, self._work, self._environment)
            if done.returncode:
                raise NoRabbitMQ(f"dpkg failed ({first_complaint(done)})")


def finish(
    command: Sequence[str], work: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is; raise `NoRabbitMQ` if it takes too long."""
    try:
        return subprocess.run(
            command,
            cwd=work,
            env={**environment, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_SECS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoRabbitMQ(f"{command[0]} took more than {FETCH_TIMEOUT_SECS:.0f} s") from error


def first_complaint(*finished: subprocess.CompletedProcess[str]) -> str:
    """Return the first line with which commands complained."""
    lines: Iterable[str] = (
        line
        for done in finished
        for line in (done.stderr or done.stdout).splitlines()
        if line.strip() and not line.startswith("W:")
    )
    return next(iter(lines), f"exit code {finished[0].returncode}")
