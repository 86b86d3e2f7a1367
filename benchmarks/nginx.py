"""nginx from Debian's packages, without installing them, as a peer of the notifier.

`apt-get install` would start a system-wide service; its packages are unpacked into the user's
cache instead, as RabbitMQ's are.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import CannotMeasure
from datamill_producer.rabbitmq.apt import Apt
from datamill_producer.rabbitmq.errors import NoRabbitMQ

_START_SECS = 10.0

# One worker per core, sendfile in large pieces, open files kept: as one would for large files.
_CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes auto;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 75s;
    open_file_cache max=100;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ application/zip zip; }}
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


class NoNginx(CannotMeasure):
    """nginx is not here and can't be fetched."""


@dataclass(frozen=True)
class Nginx:
    """A running nginx: its address, and the process above its workers."""

    url: str
    pid: int


@contextmanager
def nginx(root: Path) -> Iterator[Nginx]:
    """Serve a folder; raise `NoNginx` where that can't be."""
    program = _program()
    with tempfile.TemporaryDirectory(prefix="datamill-nginx-") as name:
        # As root its workers are another user.
        Path(name).chmod(0o755)
        port = _free_port()
        config = Path(name, "nginx.conf")
        user = "user root;" if os.geteuid() == 0 else ""
        text = _CONFIG.format(folder=name, port=port, root=root)
        config.write_text(user + text, encoding="utf-8")
        with Path(name, "output").open("wb") as output:
            process = subprocess.Popen(
                [program, "-p", name, "-e", f"{name}/error.log", "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _await(process, port, Path(name, "output"))
            yield Nginx(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            process.wait(_START_SECS)


def _program() -> Path:
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found:
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute()
    root = cache / "datamill-tools" / "nginx"
    program = root / "usr/sbin/nginx"
    if not program.exists():
        _fetch(root)
    tried = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise NoNginx(f"Debian's nginx does not run here: {tried.stderr.strip()}")
    return program


def _fetch(root: Path) -> None:
    if not all(shutil.which(tool) for tool in ("apt-get", "dpkg")):
        raise NoNginx("nginx is not installed, and there is no apt-get to fetch it with")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="unpack-") as name:
        work, unpacked = Path(name), Path(name, "root")
        unpacked.mkdir()
        try:
            apt = Apt(work, os.environ)
            apt.update()
            apt.download(["nginx"])
            apt.unpack(unpacked)
        except NoRabbitMQ as error:
            raise NoNginx(f"nginx can't be fetched: {error}") from error
        unpacked.rename(root)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _await(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + _START_SECS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = output.read_text(encoding="utf-8", errors="replace").strip()
                raise NoNginx(f"nginx does not start: {said}") from error
            time.sleep(0.02)
