"""The calls of hooks that the catalog keeps: who makes them, and what came of them.

Due times are wall-clock times, since a call may wait for hours, over restarts and on another
machine; a clock that is set back delays none for longer than the longest pause.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, or_, select, update

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.moves import move
from datamill_builder.catalog.schema import hook_calls
from datamill_builder.catalog.states import HookCallState

LONGEST_PAUSE_SECS = 24 * 3600.0
"""A call that is due later than in so long is due now: the clock was set back."""

_table = hook_calls.c


@dataclass(frozen=True)
class HookCall:
    """A call that one thread makes, as its `attempts`-th attempt."""

    seq: int
    hook: str
    event: str
    dataset_id: str
    body: str
    attempts: int


def due(connection: Connection, hook: str, limit: int = 20) -> list[Row[Any]]:
    """Return calls of a hook that are due, the longest first."""
    now = time.time()
    on_time = or_(_table.due_at <= now, _table.due_at > now + LONGEST_PAUSE_SECS)
    query = (
        select(hook_calls)
        .where(_table.state == HookCallState.PENDING, _table.hook == hook, on_time)
        .order_by(_table.due_at, _table.seq)
        .limit(limit)
    )
    return list(connection.execute(query))


def claim(change: Transaction, row: Row[Any], lease_secs: float) -> HookCall | None:
    """Take a call as its next attempt; None where somebody else did since `row` was read.

    Whoever takes it and ends without a word holds it up for `lease_secs`.
    """
    taken = change.connection.execute(
        update(hook_calls)
        .where(_of_attempt(row.seq, row.attempts))
        .values(attempts=row.attempts + 1, due_at=time.time() + lease_secs)
    )
    if taken.rowcount != 1:
        return None
    return HookCall(row.seq, row.hook, row.event, row.dataset_id, row.body, row.attempts + 1)


def called(change: Transaction, call: HookCall) -> None:
    """Pending → done; nothing where a later attempt is under way."""
    _end(change, call, HookCallState.DONE, None)


def give_up(change: Transaction, call: HookCall, error: str) -> None:
    """Pending → given up; nothing where a later attempt is under way."""
    _end(change, call, HookCallState.GIVEN_UP, error)


def give_up_unended(change: Transaction, row: Row[Any], error: str) -> bool:
    """Pending → given up, of a call that is due though it had its last attempt.

    Returns False where somebody else was faster.
    """
    mine = (_table.seq == row.seq, _table.attempts == row.attempts)
    origin, to = HookCallState.PENDING, HookCallState.GIVEN_UP
    return bool(move(change, hook_calls, origin, to, *mine, error=error))


def put_off(change: Transaction, call: HookCall, error: str, pause_secs: float) -> None:
    """Have a call made again after a pause; nothing where a later attempt is under way."""
    change.connection.execute(
        update(hook_calls)
        .where(_of_attempt(call.seq, call.attempts))
        .values(error=error, due_at=time.time() + pause_secs)
    )


def hand_back(change: Transaction, call: HookCall, error: str) -> None:
    """Have a call made again at once, as the same attempt: it was not made."""
    change.connection.execute(
        update(hook_calls)
        .where(_of_attempt(call.seq, call.attempts))
        .values(error=error, attempts=call.attempts - 1, due_at=time.time())
    )


def call_again(change: Transaction, seqs: Collection[int]) -> int:
    """Make calls due now: those that wait, and, from their first attempt on, those given up.

    Returns how many there were.
    """
    now = time.time()
    which = _table.seq.in_(seqs)
    waiting = change.connection.execute(
        update(hook_calls)
        .where(which, _table.state == HookCallState.PENDING, _table.due_at > now)
        .values(due_at=now)
    )
    origin, to = HookCallState.GIVEN_UP, HookCallState.PENDING
    return waiting.rowcount + len(
        move(change, hook_calls, origin, to, which, attempts=0, due_at=now)
    )


def give_up_unknown(change: Transaction, known: Collection[str], older_than_secs: float) -> int:
    """Give up calls of hooks that nobody knows (any more); return how many."""
    before = time.time() - older_than_secs
    error = "no builder has a hook of this name in its settings"
    unknown = (_table.hook.not_in(known), _table.created_at < before)
    origin, to = HookCallState.PENDING, HookCallState.GIVEN_UP
    return len(move(change, hook_calls, origin, to, *unknown, error=error))


def forget_old(change: Transaction, older_than_secs: float) -> None:
    """Forget calls that ended, and were written down longer ago than that."""
    ended = _table.state.in_((HookCallState.DONE, HookCallState.GIVEN_UP))
    before = _table.created_at < time.time() - older_than_secs
    change.connection.execute(delete(hook_calls).where(ended, before))


def listed(
    connection: Connection,
    states: Sequence[HookCallState] = (),
    hook: str | None = None,
    limit: int = 100,
) -> list[Row[Any]]:
    """Return the newest calls, newest last."""
    query = select(hook_calls).order_by(_table.seq.desc()).limit(limit)
    if states:
        query = query.where(_table.state.in_(states))
    if hook is not None:
        query = query.where(_table.hook == hook)
    return list(connection.execute(query))[::-1]


def counted(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many calls there are, by hook and state."""
    query = select(_table.hook, _table.state, func.count()).group_by(_table.hook, _table.state)
    return {(hook, state): count for hook, state, count in connection.execute(query)}


def _of_attempt(seq: int, attempts: int) -> Any:
    return and_(
        _table.seq == seq, _table.state == HookCallState.PENDING, _table.attempts == attempts
    )


def _end(change: Transaction, call: HookCall, to: HookCallState, error: str | None) -> None:
    mine = (_table.seq == call.seq, _table.attempts == call.attempts)
    move(change, hook_calls, HookCallState.PENDING, to, *mine, error=error)
