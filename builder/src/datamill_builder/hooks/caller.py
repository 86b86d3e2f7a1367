"""Making the calls of one hook: those that are due, one after the other, until each is done."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from datamill.errors import DatamillError
from datamill.failpoint import failpoint
from datamill.hook_settings import HookSettings
from datamill.logs import DATASET_ID
from datamill_builder.catalog import Catalog, PatientChanges, Transaction, hook_calls
from datamill_builder.catalog.hook_calls import HookCall
from datamill_builder.hooks.message import Message, Outcome, Target
from datamill_builder.hooks.retrying import PAUSES_SECS, is_spent, pause_secs

log = logging.getLogger(__name__)

LOOK_SECS = 1.0
_LEASE_SECS = 15.0
"""Beyond the hook's time limit: so long a call waits whose caller was killed meanwhile."""
_NO_WORD = "its last attempt ended without a word: was the builder killed by it?"


class HookCaller(threading.Thread):
    """A thread per hook, so that one that is slow or dead holds up no other.

    Several builders that share a catalog make each attempt once: who raises the number of
    attempts first makes it. A call whose outcome could not be written down is made again, under
    the same id.
    """

    def __init__(
        self,
        hook: HookSettings,
        target: Target,
        catalog: Catalog,
        changes: PatientChanges,
        look_secs: float = LOOK_SECS,
    ) -> None:
        super().__init__(name=f"hook {hook.name}", daemon=True)
        self._hook = hook
        self._target = target
        self._catalog = catalog
        self._changes = changes
        self._look_secs = look_secs
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look for calls that are due until stopped."""
        while not self._stopping.wait(self._look_secs):
            try:
                self._round()
            except DatamillError as error:
                log.warning("hook %s waits: %s", self._hook.name, error)

    def stop(self) -> None:
        """Break off the call under way, which is made again, and end the thread."""
        self._stopping.set()
        self._target.stop()

    def kill(self) -> None:
        """Break off the call under way: no locks, no waiting, for a signal's handler."""
        self._target.stop()

    def _round(self) -> None:
        with self._catalog.read() as connection:
            rows = hook_calls.due(connection, self._hook.name)
        for row in rows:
            if self._stopping.is_set():
                return
            self._make(row)

    def _make(self, row: Row[Any]) -> None:
        failpoint("hook.due")
        if is_spent(row.attempts):
            self._give_up(row)
            return
        with self._catalog.write() as change:
            call = hook_calls.claim(change, row, self._hook.timeout_secs + _LEASE_SECS)
        if call is None:
            return  # another builder was faster
        failpoint("hook.claimed")
        started = time.monotonic()
        outcome = self._tell(call)
        failpoint("hook.told")
        self._changes.make(lambda change: self._end(change, call, outcome))
        self._log(call, outcome, time.monotonic() - started)

    def _tell(self, call: HookCall) -> Outcome:
        """Make the attempt; what goes wrong in a way that nobody foresaw is one that failed."""
        try:
            outcome = self._target.tell(Message(call.body, call.attempts))
        except Exception as error:
            # All there is: a target works on what a stranger answered, and an attempt whose end
            # is not written down is made again and again. A thread that dies of it takes the
            # builder along, and the next builder.
            says = f"not foreseen: {type(error).__name__}: why is in the builder's log"
            about = {DATASET_ID: call.dataset_id}
            log.exception("hook %s: an error that nobody foresaw", self._hook.name, extra=about)
            return Outcome(False, says)
        # No database takes every character.
        says = "".join(one if one.isprintable() else "\ufffd" for one in outcome.says)
        return replace(outcome, says=says)

    def _give_up(self, row: Row[Any]) -> None:
        with self._catalog.write() as change:
            given_up = hook_calls.give_up_unended(change, row, _NO_WORD)
        if given_up:
            about = {DATASET_ID: row.dataset_id}
            log.error("hook %s: %s: %s", self._hook.name, row.event, _NO_WORD, extra=about)

    def _end(self, change: Transaction, call: HookCall, outcome: Outcome) -> None:
        pause = _pause_secs(call, outcome)
        if outcome.done:
            hook_calls.called(change, call)
        elif outcome.broken_off:
            hook_calls.hand_back(change, call, outcome.says)
        elif pause is None:
            hook_calls.give_up(change, call, outcome.says)
        else:
            hook_calls.put_off(change, call, outcome.says, pause)

    def _log(self, call: HookCall, outcome: Outcome, secs: float) -> None:
        told = f"hook {self._hook.name}: {call.event}, attempt {call.attempts}"
        about = {DATASET_ID: call.dataset_id}
        if outcome.done:
            log.info("%s: %s after %.2f s", told, outcome.says, secs, extra=about)
        elif outcome.broken_off:
            log.info("%s: %s; it is made again", told, outcome.says, extra=about)
        elif _pause_secs(call, outcome) is None:
            log.error("%s: %s; given up", told, outcome.says, extra=about)
        else:
            of = len(PAUSES_SECS) + 1
            log.warning("%s of %d: %s; trying again", told, of, outcome.says, extra=about)


def _pause_secs(call: HookCall, outcome: Outcome) -> float | None:
    return None if outcome.final else pause_secs(call.attempts, outcome.pause_secs)
