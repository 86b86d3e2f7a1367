"""A PostgreSQL server of a test's own, on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datamill_producer.rabbitmq.ports import kept_ports


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a server and give its catalog address; skips where there are no server programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        pytest.skip("needs PostgreSQL's server programs (initdb, pg_ctl)")
    folder = Path(tempfile.mkdtemp(prefix="datamill-pg-"))
    port = kept_ports(folder / "ports.json", ["postgresql"])["postgresql"]
    as_nobody: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(folder, "nobody", "nogroup")
    data = str(folder / "data")
    run = [*as_nobody, initdb, "-D", data, "-U", "datamill", "-A", "trust", "--no-sync"]
    subprocess.run(run, check=True, capture_output=True, cwd=folder)
    control = [*as_nobody, str(Path(initdb).with_name("pg_ctl")), "-D", data, "-w"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    start = [*control, "-o", options, "-l", str(folder / "log"), "start"]
    subprocess.run(start, check=True, capture_output=True, cwd=folder)
    try:
        yield f"postgresql+psycopg://datamill@127.0.0.1:{port}/postgres"
    finally:
        stop = [*control, "-m", "fast", "stop"]
        subprocess.run(stop, check=True, capture_output=True, cwd=folder)
        shutil.rmtree(folder)
