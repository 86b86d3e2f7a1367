"""For whom something is done: the dataset that log lines name, and the trace that spans belong to.

A piece of work on a build is done for all who asked for it; it is told of the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from datamill import logs, tracing
from datamill.trace_context import TraceContext
from datamill_builder.catalog import Catalog, CatalogUnavailable, lifecycle
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim

_MOST_KNOWN = 1000


@contextmanager
def request_for(dataset_id: str, trace: TraceContext | None) -> Iterator[None]:
    """In a `with`: requests for a dataset are taken in; `trace`: what they came with."""
    with logs.About(dataset_id), tracing.Carrying(trace):
        if not tracing.active():
            yield
            return
        with (
            tracing.span("accept", "consumer", dataset_id=dataset_id),
            tracing.Carrying(trace or tracing.here()),  # who sent none gets one that begins here
        ):
            yield


class WorkFor:
    """`with work_for(claim)`: a piece of work is done; for any thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = Lock()
        self._known: dict[tuple[str, int | None], tuple[str | None, TraceContext | None]] = {}
        """By content key and epoch."""

    @contextmanager
    def __call__(self, claim: Claim) -> Iterator[None]:
        """Name the dataset and continue the trace."""
        try:
            dataset_id, trace = self._asked_by(claim)
        except CatalogUnavailable:  # that is said of the work itself
            dataset_id, trace = None, None
        content_key = None if claim.kind is TaskKind.RESOLVE else claim.subject
        with logs.About(dataset_id, content_key), tracing.Carrying(trace):
            yield

    def _asked_by(self, claim: Claim) -> tuple[str | None, TraceContext | None]:
        key = claim.subject, claim.epoch
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = self._look_up(claim)
            if claim.kind is not TaskKind.RESOLVE:
                with self._lock:
                    if len(self._known) >= _MOST_KNOWN:
                        self._known.clear()
                    self._known[key] = known
        return known

    def _look_up(self, claim: Claim) -> tuple[str | None, TraceContext | None]:
        of_dataset = claim.kind is TaskKind.RESOLVE
        look = lifecycle.find_dataset if of_dataset else lifecycle.asked_by
        with self._catalog.read() as connection:
            row = look(connection, claim.subject)
        return (row.dataset_id, TraceContext.decode(row.trace)) if row else (None, None)


@contextmanager
def span_of(claim: Claim) -> Iterator[None]:
    """Make a span of a piece of work, inside `WorkFor`."""
    of_build = claim.kind is not TaskKind.RESOLVE
    with tracing.span(
        claim.kind.value,
        "consumer",
        dataset_id=logs.about(),
        content_key=claim.subject if of_build else None,
        shard=claim.index if claim.kind is TaskKind.SHARD else None,
        attempt=claim.attempts,
    ):
        yield
