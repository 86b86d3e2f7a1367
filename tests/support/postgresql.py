"""A PostgreSQL server of the test's own, on loopback, that can be stopped and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill_producer.rabbitmq.ports import kept_ports

DRIVER_MISSING = "needs psycopg: `datamill-builder[postgresql]`"


class PostgresqlServer:
    """Use it in a `with`. Skips where there are no server programs."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
        if initdb is None:
            pytest.skip("needs PostgreSQL's server programs (initdb, pg_ctl)")
        self._initdb = Path(initdb)
        self._folder = Path(tempfile.mkdtemp(prefix="datamill-pg-"))
        self._port = kept_ports(self._folder / "ports.json", ["postgresql"])["postgresql"]

    def url(self, database: str = "postgres") -> str:
        """Return a database's address, as SQLAlchemy writes it."""
        return f"postgresql+psycopg://datamill@127.0.0.1:{self._port}/{database}"

    def add_database(self) -> str:
        """Make a database; return its address."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> int:
        """Execute a statement as the administrator; return how many rows it gave."""
        import psycopg

        address = self.url().replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            return connection.execute(statement).rowcount

    def terminate_backends(self) -> int:
        """End all other connections, whatever they are doing; return how many."""
        return self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def start(self) -> None:
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 "
            f"-c unix_socket_directories={self._folder} -c max_connections=200"
        )
        self._control("-o", options, "-l", str(self._folder / "log"), "start")

    def stop(self, how: str = "fast") -> None:
        """Stop; `immediate` is as a power cut, with recovery at the next start."""
        self._control("-m", how, "stop")

    def _control(self, *arguments: str) -> None:
        program = str(self._initdb.with_name("pg_ctl"))
        self._run(program, "-D", str(self._folder / "data"), "-w", *arguments)

    def _run(self, *command: str) -> None:
        as_nobody: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*as_nobody, *command], check=True, cwd=self._folder, **quiet)

    def __enter__(self) -> PostgresqlServer:
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody", "nogroup")
        data = str(self._folder / "data")
        self._run(str(self._initdb), "-D", data, "-U", "datamill", "-A", "trust", "--no-sync")
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    """One server for a module."""
    pytest.importorskip("psycopg", reason=DRIVER_MISSING)
    with PostgresqlServer() as server:
        yield server
