"""`datamill replay --dead`: all dead letters again, so many a second, and what became of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from datamill import exits
from datamill.errors import NothingFound
from datamill_producer.commands.dead import log_of_home, open_letters, say

if TYPE_CHECKING:
    from datamill.session import Session
    from datamill.tracker import Tracker
    from datamill_producer.dead_letters import DeadLetter

    Published = list[tuple[DeadLetter, Tracker | None]]


def replay_all(
    *, rate: float | None, wait: bool, timeout_secs: float | None, dry_run: bool, as_json: bool
) -> int:
    """Publish all dead letters again; with `wait`, say what became of the requests among them.

    Returns the exit code: 3 if one failed, 4 if one has no answer in time, else 1 if one would be
    refused again, and stays.
    """
    session = _session() if wait and not dry_run else None
    published: Published = []
    complete = False
    try:
        refused = _publish(published, session, rate, dry_run, as_json)
        complete = True
    finally:  # where the broker went away meanwhile, what was published is told all the same
        code = exits.EX_OK
        if session is not None and published:
            deadline = None if timeout_secs is None else time.monotonic() + timeout_secs
            code = _tell(published, session if complete else None, deadline, as_json)
    return code or (exits.EX_FAILED if refused else exits.EX_OK)


def _publish(
    published: Published,
    session: Session | None,
    rate: float | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Publish those that would not be refused again; return how many would."""
    from datamill_producer.dead_replaying import publish_letters

    with open_letters() as letters:
        found = letters.fetch()
        if not found:
            raise NothingFound("there are no dead letters")
        good = [letter for letter in found if letter.problem is None]
        _check_rate(len(good), rate)
        for letter in found:
            if letter.problem is not None:
                say(letter, f"not replayed: {letter.problem}", as_json)
            elif dry_run:
                say(letter, "would be replayed", as_json)
        again = () if dry_run else good
        for letter, tracker in publish_letters(letters, again, log_of_home(), rate, session):
            published.append((letter, tracker))
            if session is None:
                say(letter, "replayed", as_json)
    return len(found) - len(good)


def _check_rate(count: int, rate: float | None) -> None:
    from datamill_producer.dead_replaying import HELD_SECS

    if rate is not None and count / rate > HELD_SECS:
        raise click.UsageError(
            f"{count} dead letters need --rate {count / HELD_SECS:.2g} at least: a broker takes "
            "back what is held for 30 minutes"
        )


def _tell(
    published: Sequence[tuple[DeadLetter, Tracker | None]],
    session: Session | None,
    deadline: float | None,
    as_json: bool,
) -> int:
    """Say what became of letters, waiting for it where there is a session; return the exit code."""
    from datamill_producer.dead_replaying import await_answer_of
    from datamill_producer.replaying import Outcomes, outcome, outcome_text

    outcomes = Outcomes()
    for letter, tracker in published:
        if tracker is None:
            say(letter, "replayed", as_json)
            continue
        if session is not None:
            await_answer_of(session, tracker, deadline)
        more = {"dataset_id": tracker.dataset_id, **outcome(tracker)}
        say(letter, outcome_text(tracker), as_json, more)
        outcomes.add(tracker)
    click.echo(outcomes.text, err=True)
    if outcomes.failed:
        return exits.REQUEST_FAILED
    return exits.TIMEOUT if outcomes.unanswered else exits.EX_OK


def _session() -> Session:
    from datamill.runfile import find_service
    from datamill.sessions import session_for
    from datamill.settings import load_settings

    return session_for(find_service(load_settings()))
