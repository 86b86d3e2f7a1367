"""Starts broker, builder and notifier, starts again what ends, and stops them in order."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from datamill import exits
from datamill.errors import DatamillError, ServiceUnavailable
from datamill.runfile import RunFile, remove_run_file, write_run_file
from datamill.settings import Settings
from datamill_producer.up.addresses import http_url
from datamill_producer.up.brokers import Broker
from datamill_producer.up.children_environment import children_environment
from datamill_producer.up.console import Console
from datamill_producer.up.descendants import descendants
from datamill_producer.up.part import FIRST_PAUSE_SECS, HOPELESS, LONGEST_PAUSE_SECS, Part
from datamill_producer.up.readiness import BuilderLook, notifier_ready
from datamill_producer.up.wakeups import Wakeups

log = logging.getLogger(__name__)

LOOK_SECS = 0.1
"""How often a starting service is looked at, and a running broker that is no child of ours."""
IDLE_LOOK_SECS = 1.0
STARTS_GIVEN_UP_AFTER = 5
"""A part that ends so often before the service could ever serve will not come up."""
STOP_MARGIN_SECS = 20.0
"""What a part may take to stop beyond the grace that the settings give it."""

Announce = Callable[[RunFile], None]


class PartGaveUp(DatamillError):
    """A part of the service ended and can't be started again."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"the {name} ended with exit code {code}; its last lines say why")
        self.code = code


class Supervisor:
    """The service on this machine. `run` is for the main thread, once."""

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        listen: str,
        console: Console,
        lock: int,
        debug: bool,
        announce: Announce,
    ) -> None:
        """`lock` is a descriptor that the children hold; `announce` is called when all serve.

        `debug`: have the children show the traceback of what ends them.
        """
        self._settings = settings
        self._broker = broker
        self._listen = listen
        self._announce = announce
        self._builder = Part("builder", _module("datamill_builder", debug), console, lock)
        self._notifier = Part("notifier", _module("datamill_notifier", debug), console, lock)
        self._parts = (self._builder, self._notifier)
        self._wakeups = Wakeups(self._kill_everything)
        self._serving = False
        self._broker_pause_secs = FIRST_PAUSE_SECS
        self._broker_start_at = 0.0

    def run(self) -> None:
        """Serve until told to stop. Raises a `DatamillError` where that can't go on."""
        with self._wakeups.installed():
            try:
                self._start()
                while not self._wakeups.told_to_stop:
                    self._wakeups.wait(self._pause_secs())
                    self._look_after_broker()
                    self._look_after_parts()
            except KeyboardInterrupt:
                log.info("told to stop while starting")
            finally:
                self._stop()

    # --- starting ---

    def _start(self) -> None:
        with self._wakeups.interrupting():
            self._broker.start()
            for part in self._parts:
                part.start(self._environment())
            self._broker.settle()
        self._wait_until_ready()
        if self._wakeups.told_to_stop:
            return
        self._serving = True
        self._write_run_file()
        self._announce(self._run_file())

    def _wait_until_ready(self) -> None:
        look = BuilderLook(self._broker.url)
        builder = notifier = False
        try:
            while not ((builder and notifier) or self._wakeups.told_to_stop):
                builder = builder or look.ready()
                notifier = notifier or notifier_ready(http_url(self._listen))
                self._wakeups.wait(0.0 if builder and notifier else LOOK_SECS)
                self._look_after_parts()
                if not self._broker.alive():
                    raise ServiceUnavailable("the broker ended while the service was starting")
        finally:
            look.close()

    def _environment(self) -> Mapping[str, str]:
        return children_environment(self._settings, os.environ, self._broker.url, self._listen)

    # --- running ---

    def _pause_secs(self) -> float:
        pauses = [part.pause_secs for part in self._parts]
        return min([IDLE_LOOK_SECS, *(pause for pause in pauses if pause is not None)])

    def _look_after_parts(self) -> None:
        for part in self._parts:
            code = part.ended()
            if code is not None and not self._wakeups.told_to_stop:
                self._on_end(part, code)
            if part.pause_secs == 0.0 and not self._wakeups.told_to_stop:
                log.info("starting the %s again", part.name)
                part.start(self._environment())
                self._write_run_file()

    def _on_end(self, part: Part, code: int) -> None:
        if code in HOPELESS:
            raise PartGaveUp(part.name, code)
        if not self._serving and part.restarts >= STARTS_GIVEN_UP_AFTER:
            raise PartGaveUp(part.name, exits.EX_UNAVAILABLE if code < 0 else code)
        log.warning(
            "the %s ended (%s); starting it again in %.1f s",
            part.name,
            _cause(code),
            part.pause_secs,
        )

    def _look_after_broker(self) -> None:
        if self._broker.alive() or self._wakeups.told_to_stop:
            return
        if time.monotonic() < self._broker_start_at:
            return
        log.warning("the broker ended; starting it again")
        url = self._broker.url
        try:
            with self._wakeups.interrupting():
                self._broker.start()
                self._broker.settle()
        except DatamillError as error:
            log.warning("%s; trying again in %.0f s", error, self._broker_pause_secs)
            self._broker_start_at = time.monotonic() + self._broker_pause_secs
            self._broker_pause_secs = min(LONGEST_PAUSE_SECS, 2 * self._broker_pause_secs)
            return
        self._broker_pause_secs = FIRST_PAUSE_SECS
        if self._broker.url != url:
            # Its port was taken meanwhile: who knows only the old address has to learn the new one.
            self._start_parts_anew()
        self._write_run_file()

    def _start_parts_anew(self) -> None:
        log.info("the broker has another address now: starting builder and notifier again")
        for part in self._parts:
            part.stop(self._stop_secs)
            part.start(self._environment())

    # --- run.json ---

    def _run_file(self) -> RunFile:
        token = self._settings.admin_token
        pids = {"up": os.getpid(), "broker": self._broker.pid}
        pids |= {part.name: part.pid for part in self._parts}
        return RunFile(
            broker_url=self._broker.url,
            http_url=http_url(self._listen),
            admin_token=token.get_secret_value() if token else _kept_token(self._settings.home),
            pids={name: pid for name, pid in pids.items() if pid is not None},
        )

    def _write_run_file(self) -> None:
        if self._serving:
            write_run_file(self._settings.run_file, self._run_file())

    # --- stopping ---

    @property
    def _stop_secs(self) -> float:
        return self._settings.stop_grace_secs + STOP_MARGIN_SECS

    def _stop(self) -> None:
        """Builder first: it finishes what is in hand or hands it back, over the broker."""
        remove_run_file(self._settings.run_file)
        for part in self._parts:
            if part.pid is not None and part.pause_secs is None:
                log.info("stopping the %s", part.name)
            if not part.stop(self._stop_secs) and part.pause_secs is None:
                log.warning("the %s did not end in time and was killed", part.name)
        if self._broker.pid is not None:
            log.info("stopping the broker")
        self._broker.stop()

    def _kill_everything(self) -> None:
        """End at once, inside a signal handler: no locks, no waiting."""
        below = descendants(os.getpid())
        self._broker.kill()
        for part in self._parts:
            part.kill()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        remove_run_file(self._settings.run_file)
        os.write(sys.stderr.fileno(), b"datamill up: ended at once; nothing was handed back\n")
        os._exit(exits.INTERRUPTED)


def _module(name: str, debug: bool) -> list[str]:
    return [sys.executable, "-m", name, *(["--debug"] if debug else [])]


def _kept_token(home: Path) -> str | None:
    try:
        return (home / "admin-token").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def _cause(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
