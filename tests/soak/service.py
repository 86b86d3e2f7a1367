"""The service under fire: two builders and a notifier on one home, a broker, a keeper."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from datamill.failpoint import VARIABLE
from datamill.topology import REQUESTS_QUEUE
from datamill_builder.catalog import Catalog
from datamill_builder.store import Store
from datamill_producer.rabbitmq import PrivateNode, ensure_installation
from datamill_producer.rabbitmq.ports import kept_ports
from datamill_producer.up.brokers import declare
from datamill_producer.up.lost_queues import declare_lost_queues_anew
from tests.soak.asking import DATASETS
from tests.soak.network import Forwarder
from tests.support.clock import ShiftedClock
from tests.support.proc import catches
from tests.support.toy import make_toy, write_items
from tests.support.vhosts import per_queue

log = logging.getLogger("soak")

BUILDERS = 2
LEASE_SECS = 6.0
_KEEP_SECS = 0.25
_STOP_SECS = 60.0
_CONSUMING_SECS = 45.0


class Part:
    """A process of the service that is started again when it ends, as an init system would."""

    def __init__(self, name: str, module: str, log: Path, **environment: str) -> None:
        self.name = name
        self._command = [sys.executable, "-m", module]
        self._log = log
        self._environment = environment
        self._guard = threading.Lock()
        self._failpoint: str | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._told: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.bad_exits: list[int] = []
        """Exit codes of ends that no signal explains."""

    def keep(self) -> None:
        """Start it if it does not run."""
        with self._guard:
            if self.process is not None:
                code = self.process.poll()
                if code is None:
                    return
                if code not in (0, -signal.SIGKILL):
                    self.bad_exits.append(code)
            environment = dict(self._environment)
            if self._failpoint:
                environment[VARIABLE] = self._failpoint
                self._failpoint = None
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(
                    self._command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.starts += 1

    def send(self, number: int) -> None:
        """Send a signal, if it runs."""
        with self._guard:
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(number)

    def tell_to_stop(self) -> None:
        """Send SIGTERM, once it is up so far that it listens: before, it has done nothing yet.

        Not a second time: that would end it at once, with 130.
        """
        while (process := self.process) is not None and process.poll() is None:
            if self._told is process:
                return
            if catches(process.pid, signal.SIGTERM):
                self._told = process
                self.send(signal.SIGTERM)
                return
            time.sleep(_KEEP_SECS)

    def die_at(self, failpoint: str) -> None:
        """End it now, and let the next one end at a failpoint."""
        self._failpoint = failpoint
        self.send(signal.SIGKILL)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    def stop(self) -> int:
        """End it in order; return its exit code."""
        assert self.process is not None
        self.send(signal.SIGCONT)
        self.tell_to_stop()
        return self.process.wait(_STOP_SECS)


class Service(threading.Thread):
    """Starts everything in a folder; the thread keeps the parts running."""

    def __init__(self, folder: Path, home: Path) -> None:
        super().__init__(name="keeper", daemon=True)
        self.home = home
        self.node = PrivateNode(folder / "node", ensure_installation(log=print))
        self.node.start()
        self.url = self.node.add_vhost("soak")
        self.lost_queues = 0
        """How often RabbitMQ lost one, and what was in it."""
        parts = urlsplit(self.url)
        assert parts.port is not None
        self.network = Forwarder(parts.port)
        http_port = kept_ports(folder / "ports.json", ["http"])["http"]
        self.downloads = Forwarder(http_port)
        for forwarder in (self.network, self.downloads):
            forwarder.start()
        self.far_url = self.url.replace(f":{parts.port}/", f":{self.network.port}/")
        make_toy(home / "wheels")
        for name, lines in DATASETS.items():
            write_items(home / "raw", lines, name)
        # One builder is far from the broker, behind the network that goes dark.
        urls = [self.url, self.far_url]
        self.clocks = []
        for number in range(BUILDERS):
            (folder / f"clock-{number}").mkdir()
            self.clocks.append(ShiftedClock(folder / f"clock-{number}"))
        self.builders = [
            Part(
                f"builder {number}",
                "datamill_builder",
                folder / f"builder-{number}.log",
                **self._environment(urls[number % len(urls)]),
                **self.clocks[number].environment,
            )
            for number in range(BUILDERS)
        ]
        self.notifier = Part(
            "notifier",
            "datamill_notifier",
            folder / "notifier.log",
            **self._environment(self.url),
            DATAMILL_LISTEN=f"127.0.0.1:{http_port}",
        )
        self.http_port = http_port
        self.keeping = threading.Event()
        self.keeping.set()
        self._ended = threading.Event()

    def _environment(self, broker_url: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DATAMILL_")}
        datasets = {name: {"handler": "toy"} for name in DATASETS if name != "toy"}
        return {
            **inherited,
            "DATAMILL_HOME": str(self.home),
            "DATAMILL_BROKER_URL": broker_url,
            "DATAMILL_HANDLER_SOURCES": str(self.home / "wheels"),
            "DATAMILL_PUBLIC_URL": f"http://127.0.0.1:{self.downloads.port}",
            "DATAMILL_DATASETS": json.dumps(datasets),
            "DATAMILL_WORKERS": "4",  # most of what they make is sleep
            "DATAMILL_LEASE_SECS": str(LEASE_SECS),
            # Handlers are killed all the time: that must not use up a shard's attempts.
            "DATAMILL_SHARD_ATTEMPTS": "20",
            "DATAMILL_STOP_GRACE_SECS": "2",
            # What is damaged and never asked for again has to be found too.
            "DATAMILL_SCRUB_SECS": "30",
            "DATAMILL_LOG_FORMAT": "text",
        }

    @property
    def parts(self) -> list[Part]:
        return [*self.builders, self.notifier]

    def run(self) -> None:
        while not self._ended.wait(_KEEP_SECS):
            if self.keeping.is_set():
                for part in self.parts:
                    part.keep()

    @property
    def catalog_path(self) -> Path:
        return self.home / "catalog.sqlite"

    def open_catalog(self) -> Catalog:
        """Return the catalog; the caller closes it."""
        return Catalog(f"sqlite:///{self.catalog_path}")

    @property
    def store(self) -> Store:
        return Store(self.home / "store")

    def logs(self) -> str:
        """Return all that the parts have logged."""
        return "".join(part._log.read_text() for part in self.parts if part._log.exists())

    def settle(self) -> None:
        """Return when everything is up, and the queues would survive a crash of the broker."""
        self.start()
        while self.logs().count("taking requests") < BUILDERS or not self._serves():
            time.sleep(0.1)
        self.node.settle()

    def _serves(self) -> bool:
        return "serving at" in self.logs()

    def start_the_broker(self) -> None:
        """Start it as `datamill up` does."""
        self.node.start()
        self._mend()

    def look_after_the_broker(self) -> bool:
        """Do what its operator would if nobody can consume; return whether it had to be."""
        deadline = time.monotonic() + _CONSUMING_SECS
        while time.monotonic() < deadline:
            if per_queue(self.node, self.url, "consumers").get(REQUESTS_QUEUE):
                return False
            time.sleep(1.0)
        if not self._mend():
            self.node.kill()
            self.start_the_broker()
        log.info("          nobody consumed %.0f s after: the broker was mended", _CONSUMING_SECS)
        return True

    def _mend(self) -> bool:
        declare(self.url)
        lost = declare_lost_queues_anew(self.url)
        self.lost_queues += len(lost)
        if lost:
            log.info("          the broker had lost %s", ", ".join(lost))
        return bool(lost)

    def close(self) -> dict[str, int]:
        """End everything in order; return the parts' exit codes."""
        self._ended.set()
        self.join()
        codes = {part.name: part.stop() for part in self.parts}
        self.network.close()
        self.downloads.close()
        self.node.stop()
        return codes
