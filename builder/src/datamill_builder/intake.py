"""Intake: a request is in the catalog before it is acknowledged.

Works in batches, in milliseconds: whatever takes longer is left to the stewards.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Row

from datamill.broker import Delivery
from datamill.client_name import CLIENT_FIELD, sendable
from datamill.errors import DecodeError
from datamill.events import Reason
from datamill.failpoint import failpoint
from datamill.logs import DATASET_ID
from datamill.request import Request
from datamill.trace_context import TraceContext
from datamill_builder.address import PublicAddress
from datamill_builder.asked_for import request_for
from datamill_builder.catalog import Catalog, Transaction, counted, lifecycle
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.lifecycle import (
    REPEATED_FAILURE_SECS,
    REPEATED_QUESTION_SECS,
    Failure,
)
from datamill_builder.catalog.states import ACTIVE_BUILDS, BuildState, DatasetState
from datamill_builder.raw import unchanged
from datamill_builder.store import Store

log = logging.getLogger(__name__)

_Message = tuple[str, str | None]
"""A message's id, and who sent it."""


class Intake:
    """Takes requests, answers those that can be answered at once.

    `look_at` is given the marks of raw data that is answered for, and must return at once.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        address: PublicAddress,
        look_at: Callable[[str], None],
        counters: Counters | None = None,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._address = address
        self._look_at = look_at
        self._counters = counters or Counters()

    def handle(self, batch: list[Delivery]) -> list[bool]:
        """Take a batch of deliveries; return for each whether it was a request."""
        requests: dict[str, Request] = {}
        messages: dict[str, list[_Message]] = defaultdict(list)
        traces: dict[str, TraceContext] = {}
        refused: list[DecodeError] = []
        verdicts = []
        # Many trainers send the same bytes at the same moment: those are read once.
        read = {key: _received(*key) for key in {(it.body, it.routing_key) for it in batch}}
        batch_id = uuid.uuid4()
        for number, delivery in enumerate(batch):
            request = read[delivery.body, delivery.routing_key]
            verdicts.append(isinstance(request, Request))
            if isinstance(request, DecodeError):
                refused.append(request)
                continue
            requests[request.dataset_id] = request
            if delivery.trace:
                traces.setdefault(request.dataset_id, delivery.trace)
            # In order: what is next to each other in an index is written at once.
            message_id = _message_id(delivery) or f"anonymous-{batch_id}-{number:04}"
            messages[request.dataset_id].append((message_id, _client(delivery)))
        public_url = self._address()
        outcomes = Counter({"refused": len(refused)})
        failpoint("intake.received")
        with self._catalog.write() as change:
            for dataset_id in sorted(requests):  # as all who lock several: see `hold_build`
                with request_for(dataset_id, traces.get(dataset_id)):
                    sent = messages[dataset_id]
                    outcomes += self._accept(change, requests[dataset_id], sent, public_url)
            for refusal in refused:
                self._refuse(change, refusal)
        failpoint("intake.committed")
        for outcome, count in outcomes.items():
            self._counters.add(counted.REQUEST_OUTCOMES, count, outcome)
        return verdicts

    def _refuse(self, change: Transaction, error: DecodeError) -> None:
        about = {DATASET_ID: error.dataset_id}
        log.warning("a request was refused: %s: %s", error.flaw, error, extra=about)
        if error.dataset_id and not self._others_wait(change, error.dataset_id):
            failure = Failure(Reason.INVALID_REQUEST, str(error))
            lifecycle.answer_failed(change, error.dataset_id, failure)

    @staticmethod
    def _others_wait(change: Transaction, dataset_id: str) -> bool:
        """Return whether others wait for this id: a request with a field too many has the id of
        the one without, and must not tell those who asked rightly that it failed."""
        row = lifecycle.find_dataset(change.connection, dataset_id)
        if row is None or row.content_key is None:
            return row is not None and row.state == DatasetState.RESOLVING
        build = lifecycle.find_build(change.connection, row.content_key)
        return build is not None and build.state in ACTIVE_BUILDS

    def _accept(
        self, change: Transaction, request: Request, messages: list[_Message], public_url: str
    ) -> Counter[str]:
        """Take requests for one dataset; return what became of each, counted."""
        dataset_id = request.dataset_id
        # Held: its build can't end between the look at it and the answer.
        known = lifecycle.hold_dataset(change, dataset_id)
        new = known is None and lifecycle.accept_new(change, request)
        # Somebody who waits asks again under the same message id: answered, but counted once.
        message_ids, clients = map(list, zip(*messages, strict=True))
        fresh = lifecycle.log_requests(change, message_ids, dataset_id, clients)
        if new:
            log.info("%s: new request for %s", dataset_id[:12], request.dataset_name)
            lifecycle.wait_for(change, dataset_id, fresh)
            outcome = "new"
        else:
            row = known or lifecycle.hold_dataset(change, dataset_id)
            assert row is not None
            outcome = self._answer_known(change, row, fresh, public_url)
        return _outcomes(outcome, fresh, len(message_ids))

    def _answer_known(self, change: Transaction, row: Row[Any], fresh: int, public_url: str) -> str:
        """Answer requests for what was asked for before; return what became of them, in a word."""
        dataset_id = row.dataset_id
        build = (
            lifecycle.find_build(change.connection, row.content_key) if row.content_key else None
        )
        ended = build if row.state == DatasetState.RESOLVED else row
        if row.state == DatasetState.RESOLVING or (build and build.state in ACTIVE_BUILDS):
            lifecycle.wait_for(change, dataset_id, fresh)
            return "merged"
        if build and build.state == BuildState.READY and self._is_whole(row, build):
            lifecycle.answer_ready(change, dataset_id, build, public_url, now=True)
            return "hit"
        if ended is not None and ended.reason and _came_for_that_try(ended, fresh):
            failure = Failure(Reason(ended.reason), ended.message, bool(ended.retryable))
            lifecycle.answer_failed(change, dataset_id, failure)
            return "failed"
        # It failed before, its raw data changed or its archive is not what it was.
        lifecycle.resolve_again(change, dataset_id)
        lifecycle.wait_for(change, dataset_id, fresh)
        return "again"

    def _is_whole(self, dataset: Row[Any], build: Row[Any]) -> bool:
        mark = self._store.archive_mark(build.archive)
        if mark != build.archive_mark or dataset.raw_marks is None:
            return False
        self._look_at(dataset.raw_marks)
        return unchanged(dataset.raw_marks)


def _outcomes(outcome: str, fresh: int, sent: int) -> Counter[str]:
    """Return what became of requests for one dataset, of which some were not sent before.

    The first one may begin a build; the others join it.
    """
    begun = min(fresh, 1) if outcome in ("new", "again") else fresh
    counts = Counter({"merged": fresh - begun, "repeated": sent - fresh})
    counts[outcome] += begun
    return counts


def _received(body: bytes, routing_key: str) -> Request | DecodeError:
    try:
        return Request.received(body, routing_key)
    except DecodeError as error:
        return error


def _message_id(delivery: Delivery) -> str | None:
    """Return the sender's id of a message, or None where that can't be kept as text."""
    given: object = delivery.message_id
    return given if isinstance(given, str) and given and "\0" not in given else None


def _client(delivery: Delivery) -> str | None:
    """Return who asks, where that was said, and in words."""
    headers: object = delivery.headers
    return sendable(headers.get(CLIENT_FIELD)) if isinstance(headers, Mapping) else None


def _came_for_that_try(ended: Row[Any], fresh: int) -> bool:
    """Return whether a request is answered by the failure that is there, not by a new try.

    Somebody who waits and has missed the answer asks again, under the same message id.
    """
    columns = ended._mapping
    at = columns.get("failed_at") or columns.get("ended_at")
    if at is None:
        return False
    age_secs = time.time() - at
    if not fresh:
        return bool(age_secs < REPEATED_QUESTION_SECS)
    # A failure of the future comes from a clock that was set back: no reason to refuse a try.
    return bool(0 <= age_secs < REPEATED_FAILURE_SECS)
