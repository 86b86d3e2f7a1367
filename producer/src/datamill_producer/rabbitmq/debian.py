"""RabbitMQ from the packages of Debian or Ubuntu, without root and without installing them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamill_producer.rabbitmq.apt import Apt, finish, first_complaint
from datamill_producer.rabbitmq.errors import NoRabbitMQ
from datamill_producer.rabbitmq.installation import COMPLETE, Installation, unpacked
from datamill_producer.rabbitmq.own_libraries import use_own_libraries
from datamill_producer.rabbitmq.releases import sources_of

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
"""From the system's own release, whose shared libraries are there."""
ERLANG_AND_LIBRARIES = re.compile(r"erlang-|lib|zlib1g$")
"""What is needed beside the server from another release, whose C library may be newer."""
_SYSTEM_ERLANG = "/usr/lib/erlang"


def provide(root: Path, environment: Mapping[str, str], release: str = "") -> Installation:
    """Fetch, unpack and try a server at `root`, which is whole afterwards or not there.

    `release` names another release of the distribution than the system's. The caller makes sure
    that nobody else does the same. Raises `NoRabbitMQ`.
    """
    shutil.rmtree(root, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="unpack-") as folder:
        unpacking = Path(folder) / "root"
        _unpack(Path(folder), unpacking, environment, release)
        _relocate(unpacking, root)
        if release:
            use_own_libraries(unpacking, root)
        unpacking.rename(root)
    try:
        _try_out(unpacked(root), environment)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise
    (root / COMPLETE).write_text(str(root), encoding="utf-8")
    return unpacked(root)


def _unpack(work: Path, root: Path, environment: Mapping[str, str], release: str) -> None:
    apt = Apt(work, environment, sources_of(release, environment) if release else "")
    apt.update()
    packages: Sequence[str] = PACKAGES
    if release:
        packages = apt.with_dependencies("rabbitmq-server", ERLANG_AND_LIBRARIES)
    apt.download(packages)
    apt.unpack(root)


def _relocate(root: Path, final: Path) -> None:
    """Make Erlang's start scripts look below `final`; ERL_ROOTDIR does not help."""
    erlang = root / "usr/lib/erlang"
    for folder in (erlang / "bin", *erlang.glob("erts-*/bin")):
        for script in (folder / "erl", folder / "start"):
            text = script.read_text(encoding="utf-8")
            here = text.replace(_SYSTEM_ERLANG, str(final / "usr/lib/erlang"))
            script.write_text(here, encoding="utf-8")


def _try_out(installation: Installation, environment: Mapping[str, str]) -> None:
    # Loads OpenSSL and the terminal library, which may be the system's: a bare one may lack them.
    command = ["erl", "-noinput", "-eval", "ok = crypto:start(), halt(0)."]
    path = installation.search_path(environment.get("PATH", os.defpath))
    tried = finish(command, installation.scripts, {**environment, "PATH": path})
    if tried.returncode:
        reason = first_complaint(tried)
        raise NoRabbitMQ(f"Erlang was unpacked but does not run here ({reason})")
