"""RabbitMQ from the packages of Debian or Ubuntu, without root and without installing them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamill_producer.rabbitmq.errors import NoRabbitMQ
from datamill_producer.rabbitmq.installation import COMPLETE, Installation, unpacked

PACKAGES = (
    "rabbitmq-server",
    "erlang-base",
    "erlang-asn1",
    "erlang-crypto",
    "erlang-eldap",
    "erlang-inets",
    "erlang-mnesia",
    "erlang-os-mon",
    "erlang-parsetools",
    "erlang-public-key",
    "erlang-runtime-tools",
    "erlang-ssl",
    "erlang-syntax-tools",
    "erlang-tools",
    "erlang-xmerl",
)
FETCH_TIMEOUT_SECS = 900.0
_SYSTEM_ERLANG = "/usr/lib/erlang"


def provide(root: Path, environment: Mapping[str, str]) -> Installation:
    """Fetch, unpack and try a server at `root`, which is whole afterwards or not there.

    The caller makes sure that nobody else does the same. Raises `NoRabbitMQ`.
    """
    shutil.rmtree(root, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="unpack-") as folder:
        work = Path(folder)
        _fetch(work, environment)
        for package in sorted(work.glob("*.deb")):
            _run(["dpkg", "-x", str(package), str(work / "root")], work, environment)
        _relocate(work / "root", root)
        (work / "root").rename(root)
    try:
        _try_out(unpacked(root), environment)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise
    (root / COMPLETE).write_text(str(root), encoding="utf-8")
    return unpacked(root)


def _fetch(work: Path, environment: Mapping[str, str]) -> None:
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    apt = [
        "apt-get",
        "-qq",
        *("-o", f"Dir::State::lists={work / 'lists'}"),
        *("-o", f"Dir::Cache={work / 'cache'}"),
        # As if nothing were installed: else apt asks for the installed version of a package, which
        # its sources may not have any more.
        *("-o", f"Dir::State::status={work / 'status'}"),
        *("-o", "Debug::NoLocking=1"),
        *("-o", "Acquire::Languages=none"),
        # As root, apt would fetch as a user who can't write here.
        *("-o", "APT::Sandbox::User=root"),
    ]
    # One broken source of many fails the update; what counts is that the packages come.
    updated = _finish([*apt, "update"], work, environment)
    fetched = _finish([*apt, "download", *PACKAGES], work, environment)
    if fetched.returncode:
        raise NoRabbitMQ(f"apt-get could not fetch RabbitMQ ({_reason(fetched, updated)})")


def _relocate(root: Path, final: Path) -> None:
    """Make Erlang's start scripts look below `final`; ERL_ROOTDIR does not help."""
    erlang = root / "usr/lib/erlang"
    for folder in (erlang / "bin", *erlang.glob("erts-*/bin")):
        for script in (folder / "erl", folder / "start"):
            text = script.read_text(encoding="utf-8")
            here = text.replace(_SYSTEM_ERLANG, str(final / "usr/lib/erlang"))
            script.write_text(here, encoding="utf-8")


def _try_out(installation: Installation, environment: Mapping[str, str]) -> None:
    # Loads OpenSSL and the terminal library, which were not unpacked: a bare system may lack them.
    command = ["erl", "-noinput", "-eval", "ok = crypto:start(), halt(0)."]
    path = installation.search_path(environment.get("PATH", os.defpath))
    tried = _finish(command, installation.scripts, {**environment, "PATH": path})
    if tried.returncode:
        raise NoRabbitMQ(f"Erlang was unpacked but does not run here ({_reason(tried)})")


def _run(command: Sequence[str], work: Path, environment: Mapping[str, str]) -> None:
    done = _finish(command, work, environment)
    if done.returncode:
        raise NoRabbitMQ(f"{command[0]} failed ({_reason(done)})")


def _finish(
    command: Sequence[str], work: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
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


def _reason(*finished: subprocess.CompletedProcess[str]) -> str:
    lines = [
        line
        for done in finished
        for line in (done.stderr or done.stdout).splitlines()
        if line.strip() and not line.startswith("W:")
    ]
    return lines[0] if lines else f"exit code {finished[0].returncode}"
