"""A RabbitMQ node of our own, as a child process, beside whatever else runs on the machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from datamill_producer.rabbitmq.children import Child, Surroundings
from datamill_producer.rabbitmq.configuration import (
    USER,
    VHOST,
    kept_secret,
    node_environment,
    port_names,
    vhost_definitions,
    write_configuration,
    write_private,
)
from datamill_producer.rabbitmq.errors import NodeFailed
from datamill_producer.rabbitmq.folder_lock import FolderLock
from datamill_producer.rabbitmq.installation import Installation
from datamill_producer.rabbitmq.ports import LOOPBACK, is_free, kept_ports

READY_SECS = 60.0
"""How long the node may take until it answers (3 s on an idle machine)."""
STOP_SECS = 30.0
"""How long it may take to stop before it is killed (1 s; 6 s with the management plugin)."""
CTL_SECS = 60.0
"""How long one call of a command line tool may take (0.4 s)."""
LOOK_SECS = 0.03
BOOT_ATTEMPTS = 3
"""A port that was free may be taken before the node listens on it: then others are tried."""
LOG_LIMIT_BYTES = 10_000_000

_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ERROR_LINE = re.compile(r"\[error\] <[^>]*> *(\S.*)")


class PrivateNode:
    """A private node in a folder of its own: data, ports, password, log.

    It listens on loopback only and ends when this process ends, even by `kill -9`. One thread at
    a time may start and stop it. Started from another than the main thread, or on macOS, a small
    watcher process stays beside it.

    A quorum queue that was declared less than about a second before `kill -9` is lost with all
    that was confirmed. So whoever declares the first queues calls `settle()` afterwards; a start
    without that mark begins with an empty node.
    """

    def __init__(
        self, folder: Path, installation: Installation, plugins: Sequence[str] = (), conf: str = ""
    ) -> None:
        """`plugins` are switched on; `conf` is appended to the node's `rabbitmq.conf`."""
        self.folder = folder.absolute()
        self._installation = installation
        self._plugins = tuple(plugins)
        self._conf = conf
        self._lock = FolderLock(self.folder)
        self._environment: dict[str, str] = {}
        self._password = ""
        self._epmd: Child | None = None
        self._node: Child | None = None
        self.ports: dict[str, int] = {}

    def start(self, timeout_secs: float = READY_SECS) -> None:
        """Start the node and return when it takes connections.

        Its queues and its address are those of the last time, the address only while its ports
        are free. Raises `FolderInUse` if another process has a node here, `NodeFailed` with the
        first error of its log if it does not come up.
        """
        if self.alive():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire(STOP_SECS)
        deadline = time.monotonic() + timeout_secs
        try:
            if not self.settled:
                shutil.rmtree(self.folder / "data", ignore_errors=True)
            for attempt in range(1, BOOT_ATTEMPTS + 1):
                if self._boot(deadline, last=attempt == BOOT_ATTEMPTS):
                    return
        except BaseException:
            self.kill()  # a node that boots may not hear that it should stop
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the node in order; return when no process of it is left."""
        if self._node:
            self._node.stop(STOP_SECS)
        if self._epmd:  # last: a node without it can't be asked anything
            self._epmd.stop(STOP_SECS)
        self._node = self._epmd = None
        self._lock.release()

    def kill(self) -> None:
        """End the node by SIGKILL, as a crash would; `start()` brings it back."""
        if self._node:
            self._node.kill()

    def alive(self) -> bool:
        """Tell whether the node's process runs."""
        return self._node is not None and self._node.alive()

    @property
    def pid(self) -> int:
        """The node's process id (its watcher's, where there is one)."""
        if self._node is None:
            raise NodeFailed("The private RabbitMQ node was not started.")
        return self._node.process.pid

    @property
    def url(self) -> str:
        """The address of the virtual host `datamill`, with user and password."""
        return self.vhost_url(VHOST)

    def vhost_url(self, name: str) -> str:
        """Return the address of a virtual host, with user and password."""
        if not self.ports:
            raise NodeFailed("The private RabbitMQ node was not started.")
        return f"amqp://{USER}:{self._password}@{LOOPBACK}:{self.ports['amqp']}/{name}"

    @property
    def settled(self) -> bool:
        """Whether the queues in the folder will survive a crash."""
        return self._mark.exists()

    def settle(self, wait_secs: float = 2.0) -> None:
        """Wait until newly declared queues survive a crash, then say so in the folder.

        Nothing in RabbitMQ tells when that is; a second is enough on 3.10.8, 4.0.5 and 4.3.6.
        """
        if not self.settled:
            time.sleep(wait_secs)
            write_private(self._mark, "")

    def add_vhost(self, name: str) -> str:
        """Make a virtual host in which the user may do everything; return its address."""
        # One call for host and rights. From a file: on 4.x the tool can't read its standard input.
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".json") as file:
            json.dump(vhost_definitions(name), file)
            file.flush()
            self.ctl("import_definitions", file.name)
        return self.vhost_url(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it."""
        self.ctl("delete_vhost", name)

    def ctl(self, *arguments: str, tool: str = "rabbitmqctl") -> str:
        """Run one of RabbitMQ's command line tools on the node; return what it printed.

        Raises `NodeFailed` with its message where it does not succeed.
        """
        process = subprocess.Popen(
            [self._installation.scripts / tool, "--quiet", *arguments],
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            said, complaint = process.communicate(timeout=CTL_SECS)
        except BaseException as error:
            Child(process).kill()  # with its process group: on 4.x the script does not exec
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise NodeFailed(f"{tool} {arguments[0]} took over {CTL_SECS:.0f} s") from error
            raise
        if process.returncode:
            reason = (complaint or said).strip()
            raise NodeFailed(f"{tool} {arguments[0]}: exit code {process.returncode}: {reason}")
        return said

    def running(self) -> PrivateNode:
        """Return this, ready for `ctl` on the node that another process runs in the folder."""
        self.ports = json.loads((self.folder / "ports.json").read_text(encoding="utf-8"))
        self._environment = node_environment(self.folder, self._installation, self.ports)
        return self

    def version(self) -> str:
        """Return the version that the running node, not its tool, says it has."""
        return self.ctl("eval", "rabbit_misc:version().").strip().strip('"')

    def __enter__(self) -> PrivateNode:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _mark(self) -> Path:
        return self.folder / "data" / "settled"

    @property
    def _log(self) -> Path:
        return self.folder / "console.log"

    def _boot(self, deadline: float, last: bool) -> bool:
        """Start both processes; return False if another process got hold of a port."""
        self._configure()
        surroundings = Surroundings(self._environment, self.folder, self._log, self._lock.children)
        log_start = self._trim_log()
        if not self._epmd or not self._epmd.alive():
            # One of our own, in the foreground: the node would leave a daemon behind.
            self._epmd = surroundings.launch(
                [self._epmd_program(), "-port", str(self.ports["epmd"]), "-address", LOOPBACK]
            )
        self._node = surroundings.launch([str(self._installation.scripts / "rabbitmq-server")])
        while time.monotonic() < deadline:
            if self._epmd.alive() and self._answers():
                return True
            if not self._node.alive() or not self._epmd.alive():
                break
            time.sleep(LOOK_SECS)
        return self._after_failed_boot(log_start, last)

    def _after_failed_boot(self, log_start: int, last: bool) -> bool:
        assert self._node and self._epmd
        ended = not self._node.alive() or not self._epmd.alive()
        self._node.kill()
        self._epmd.kill()
        if ended and not last and not all(map(is_free, self.ports.values())):
            return False
        what = "ended" if ended else "did not answer in time"
        raise NodeFailed(
            f"RabbitMQ {what} while starting ({self._reason(log_start)}); its log is {self._log}"
        )

    def _configure(self) -> None:
        running = ("epmd",) if self._epmd and self._epmd.alive() else ()
        names = port_names(self._plugins)
        self.ports = kept_ports(self.folder / "ports.json", names, running)
        self._password = kept_secret(self.folder / "password", 0o600)
        write_configuration(self.folder, self.ports, self._password, self._plugins, self._conf)
        self._environment = node_environment(self.folder, self._installation, self.ports)
        (self.folder / "data").mkdir(exist_ok=True)

    def _epmd_program(self) -> str:
        program = self._installation.program("epmd", os.environ.get("PATH", os.defpath))
        if program is None:
            raise NodeFailed(f"Erlang's epmd is gone (RabbitMQ: {self._installation.scripts})")
        return program

    def _answers(self) -> bool:
        """Tell whether the node takes connections: it answers a protocol header with a frame."""
        try:
            with socket.create_connection((LOOPBACK, self.ports["amqp"]), 0.2) as connection:
                connection.settimeout(2.0)
                connection.sendall(_AMQP_HEADER)
                return connection.recv(1) == _METHOD_FRAME and self.alive()
        except OSError:
            return False

    def _trim_log(self) -> int:
        try:
            size = self._log.stat().st_size
        except FileNotFoundError:
            return 0
        if size > LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
            return 0
        return size

    def _reason(self, log_start: int) -> str:
        """Return the first error that this boot logged, else its last line: one line."""
        with self._log.open("rb") as file:
            file.seek(log_start)
            text = _COLOURS.sub("", file.read().decode("utf-8", "replace"))
        if first := _ERROR_LINE.search(text):
            return first[1].strip()
        return (text.strip().splitlines() or ["it said nothing"])[-1].strip()
