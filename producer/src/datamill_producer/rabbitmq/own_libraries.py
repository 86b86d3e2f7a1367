"""Programs of another release of the system, which run with that release's own C library.

A program that was built for a newer C library than the system's does not start here. With the
loader and the libraries of its own release it does: only the kernel is shared.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from datamill_producer.rabbitmq.errors import NoRabbitMQ

_ELF = b"\x7fELF"
_LOADERS = "usr/lib/*/ld-linux*.so.*"
"""Where the package of the C library has the loader, beside the libraries."""
_REAL = ".real"


def use_own_libraries(root: Path, final: Path) -> None:
    """Make Erlang's programs below `root` start with the libraries there, once it is at `final`.

    Scripts take the programs' names: the path of the loader inside a program can't grow, and
    LD_LIBRARY_PATH would reach the system's programs too that Erlang starts.
    """
    loader = next(root.glob(_LOADERS), None)
    if loader is None:
        raise NoRabbitMQ("The packages that were fetched hold no C library")
    there = final / loader.relative_to(root)
    for program in list(_programs(root / "usr/lib/erlang")):
        real = program.with_name(program.name + _REAL)
        program.rename(real)
        command = [str(there), "--library-path", str(there.parent)]
        start = f'exec {shlex.join(command)} --argv0 "$0"'
        target = shlex.quote(str(final / real.relative_to(root)))
        program.write_text(f'#!/bin/sh\n{start} {target} "$@"\n', encoding="utf-8")
        program.chmod(0o755)


def _programs(folder: Path) -> Iterator[Path]:
    """Find the files that the kernel would start by a loader; shared libraries can't be."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file() or not path.stat().st_mode & 0o111:
            continue
        with path.open("rb") as file:
            if file.read(len(_ELF)) == _ELF:
                yield path
