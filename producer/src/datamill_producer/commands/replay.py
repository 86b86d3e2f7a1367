"""`datamill replay`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from datamill import exits
from datamill_producer.completing import complete_dataset_id, complete_dataset_name
from datamill_producer.moment import Moment

if TYPE_CHECKING:
    from datamill.request import Request
    from datamill.tracker import Tracker
    from datamill_producer.replaying import Outcomes

_SHOWN_OF_ID = 12


@click.command()
@click.option(
    "--id",
    "dataset_ids",
    multiple=True,
    metavar="ID",
    help="This dataset; repeatable.",
    shell_complete=complete_dataset_id,
)
@click.option("--since", type=Moment(), help="Accepted since then: 2026-01-31T12:00:00Z, or 2h.")
@click.option("--until", type=Moment(), help="Accepted before then.")
@click.option(
    "--dataset",
    "name",
    metavar="NAME",
    help="Of this dataset name.",
    shell_complete=complete_dataset_name,
)
@click.option("--failed", is_flag=True, help="Those that failed.")
@click.option("--dead", is_flag=True, help="The dead letters, as `dead replay --all` does.")
@click.option("--dry-run", is_flag=True, help="Only say what would be published.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many a second."
)
@click.option("--wait", is_flag=True, help="Wait, and say what became of each.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECS", help="Wait no longer.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")
@click.pass_context
def replay(
    ctx: click.Context,
    dataset_ids: tuple[str, ...],
    since: float | None,
    until: float | None,
    name: str | None,
    failed: bool,
    dead: bool,
    dry_run: bool,
    rate: float | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Publish accepted requests again, each distinct one once.

    What is ready gets one more event and no build; what is not is built. A line for each says what
    became of it, with --wait once that is known; the last line, on stderr, counts them. The
    requests come from the catalog's log, which needs the admin token (DATAMILL_ADMIN_TOKEN), but
    for the service of `datamill up` on this machine. With --wait the exit code is 3 if one of them
    failed, else 4 if one was not ready in the time given. Dead letters that would be refused again
    stay, and make the exit code 1.

    \b
    Examples:
        datamill replay --failed --since 2h --wait --timeout 3600
        datamill replay --dataset duts --dry-run
    """
    others = any((dataset_ids, since is not None, until is not None, name, failed))
    if dead == others:
        raise click.UsageError(
            "say which: --id, --since, --until, --dataset or --failed; or --dead alone"
        )
    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    if dead:
        from datamill_producer.commands.replay_dead import replay_all

        ctx.exit(
            replay_all(rate=rate, wait=wait, timeout_secs=timeout, dry_run=dry_run, as_json=as_json)
        )

    from datamill.runfile import find_service
    from datamill.sessions import session_for
    from datamill.settings import load_settings
    from datamill_producer.accepted_log import Selection, selected
    from datamill_producer.gateway import Gateway, full_ids
    from datamill_producer.replaying import publish_again

    service = find_service(load_settings())
    ids = tuple(full_ids(service, dataset_ids))
    requests = selected(Gateway(service), Selection(ids, since, until, name, failed))
    if not requests:
        from datamill.errors import NothingFound

        raise NothingFound("no accepted request is like that")
    if dry_run:
        for request in requests:
            _say(request, "would be published", {"published": False}, as_json)
        return
    # All are published before the first is waited for or told of.
    trackers: list[Tracker] = []
    try:
        for tracker in publish_again(session_for(service), requests, rate):
            trackers.append(tracker)
    finally:  # where the broker went away meanwhile, what was published is told all the same
        deadline = None if timeout is None else time.monotonic() + timeout
        whole = wait and len(trackers) == len(requests)
        outcomes = _tell(trackers, whole, deadline, as_json)
    if wait and outcomes.failed:
        ctx.exit(exits.REQUEST_FAILED)
    if wait and outcomes.unanswered:
        ctx.exit(exits.TIMEOUT)


def _tell(trackers: list[Tracker], wait: bool, deadline: float | None, as_json: bool) -> Outcomes:
    from datamill_producer.replaying import Outcomes, await_answer, outcome, outcome_text

    outcomes = Outcomes()
    for tracker in trackers:
        if wait:
            await_answer(tracker, deadline)
        assert tracker.request is not None
        done = {"published": True, "message_id": tracker.message_id, **outcome(tracker)}
        _say(tracker.request, outcome_text(tracker), done, as_json)
        outcomes.add(tracker)
    click.echo(outcomes.text, err=True)
    return outcomes


def _say(request: Request, text: str, more: dict[str, object], as_json: bool) -> None:
    if as_json:
        known = {"dataset_id": request.dataset_id, **request.model_dump()}
        click.echo(json.dumps(known | more))
        return
    name = f"{request.dataset_name} {request.handler_version}"
    click.echo(f"{request.dataset_id[:_SHOWN_OF_ID]} {name} {text}")
