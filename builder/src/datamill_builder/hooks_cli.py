"""The `datamill hooks` commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from datamill import exits

if TYPE_CHECKING:
    from sqlalchemy import Row

    from datamill.hook_settings import HookSettings
    from datamill.settings import Settings

_STATES = ("pending", "done", "given_up")
_HEADING = ("NAME", "KIND", "TARGET", "EVENTS", "DATASETS", "SIGNED", "PENDING", "GIVEN UP")
_CALLS_HEADING = ("CALL", "HOOK", "EVENT", "DATASET", "STATE", "ATTEMPTS", "DUE", "SAID")
_SHOWN_OF_ID = 12
_MOST = 10_000

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def hooks() -> None:
    """Say who is told when a dataset is ready or failed; try it; call again.

    Hooks are tables [[hooks]] in datamill.toml, or DATAMILL_HOOKS. These commands need the
    settings and the catalog of the server.

    \b
    Example:
        datamill hooks test
    """


@hooks.command("list")
@_as_json
def list_hooks(as_json: bool) -> None:
    """List the hooks of the settings, with how many calls wait or were given up.

    Addresses are shown up to the server's name: the rest may be a secret.

    \b
    Example:
        datamill hooks list
    """
    from datamill.table import table
    from datamill_builder.catalog import hook_calls
    from datamill_builder.server_files import open_catalog

    settings = _settings()
    with open_catalog(settings) as catalog, catalog.read() as connection:
        counts = hook_calls.counted(connection)
    documents = [_document(hook, counts) for hook in settings.hooks]
    if as_json:
        click.echo(json.dumps({"hooks": documents}))
    elif documents:
        click.echo(table([_HEADING, *(_line(document) for document in documents)]))
    else:
        click.echo("no hooks: docs/hooks.md says how to add one to datamill.toml")


@hooks.command("test")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@_as_json
@click.pass_context
def test_hooks(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Tell hooks of a `test` event, signed as any other, and say what came of it.

    Each is tried once, and nothing is written down. The exit code is 1 if one was not told.

    \b
    Examples:
        datamill hooks test
        datamill hooks test scheduler
    """
    from datamill_builder.hooks.message import trial
    from datamill_builder.hooks.targets import target_of

    settings = _settings()
    documents: list[dict[str, Any]] = []
    for hook in _named(settings, names):
        message = trial()
        outcome = target_of(hook, settings).tell(message)
        documents.append(
            {"name": hook.name, "id": message.id, "told": outcome.done, "said": outcome.says}
        )
        if not as_json:
            word = "ok    " if outcome.done else "FAILED"
            click.echo(f"{word}  {hook.name}  {outcome.says}")
    if as_json:
        click.echo(json.dumps({"hooks": documents}))
    if not all(document["told"] for document in documents):
        ctx.exit(exits.EX_FAILED)


@hooks.command("calls")
@click.option("--hook", metavar="NAME", help="Of this hook alone.")
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="May repeat.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True)
@_as_json
def list_calls(hook: str | None, states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List what hooks were told, or will be: the newest calls, newest last.

    \b
    Examples:
        datamill hooks calls
        datamill hooks calls --state given_up --hook scheduler
    """
    from datamill.table import table
    from datamill_builder.catalog import hook_calls
    from datamill_builder.catalog.states import HookCallState
    from datamill_builder.server_files import open_catalog

    wanted = [HookCallState(state) for state in states]
    with open_catalog(_settings()) as catalog, catalog.read() as connection:
        rows = hook_calls.listed(connection, wanted, hook, limit)
    documents = [_call(row) for row in rows]
    if as_json:
        click.echo(json.dumps({"calls": documents}))
    elif documents:
        click.echo(table([_CALLS_HEADING, *(_call_line(document) for document in documents)]))
    else:
        click.echo("no such calls")


@hooks.command("retry")
@click.argument("calls", metavar="[CALL]...", nargs=-1, type=click.IntRange(min=1))
@click.option("--given-up", is_flag=True, help="All calls that were given up.")
@click.option("--hook", metavar="NAME", help="With --given-up: of this hook alone.")
@_as_json
def retry(calls: tuple[int, ...], given_up: bool, hook: str | None, as_json: bool) -> None:
    """Have a builder make calls again, now: CALL is a number that `datamill hooks calls` shows.

    A call that was given up begins anew, with all its attempts; one that waits is made now.

    \b
    Examples:
        datamill hooks retry 17
        datamill hooks retry --given-up --hook scheduler
    """
    if bool(calls) == given_up:
        raise click.UsageError("give the numbers of calls, or --given-up")
    if hook is not None and not given_up:
        raise click.UsageError("--hook goes with --given-up")
    from datamill.errors import NothingFound
    from datamill_builder.catalog import hook_calls
    from datamill_builder.catalog.states import HookCallState
    from datamill_builder.server_files import open_catalog

    with open_catalog(_settings()) as catalog, catalog.write() as change:
        if given_up:
            states = [HookCallState.GIVEN_UP]
            rows = hook_calls.listed(change.connection, states, hook, _MOST)
            calls = tuple(row.seq for row in rows)
        count = hook_calls.call_again(change, calls)
    if not count:
        raise NothingFound("no such call waits or was given up: `datamill hooks calls` shows them")
    click.echo(json.dumps({"calls": count}) if as_json else f"to be made again: {count}")


def _settings() -> Settings:
    from datamill.settings import load_settings

    return load_settings()


def _named(settings: Settings, names: tuple[str, ...]) -> list[HookSettings]:
    from datamill.errors import NothingFound

    known = {hook.name: hook for hook in settings.hooks}
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        there_are = ", ".join(known) or "none in datamill.toml or DATAMILL_HOOKS"
        wanted = f"no hook is called {unknown[0]}: " if unknown else "no hooks: "
        raise NothingFound(f"{wanted}there are {there_are}")
    return [known[name] for name in names or known]


def _document(hook: HookSettings, counts: dict[tuple[str, str], int]) -> dict[str, Any]:
    return {
        "name": hook.name,
        "kind": hook.kind,
        "target": hook.target,
        "events": list(hook.events),
        "dataset_names": list(hook.dataset_names),
        "signed": hook.secret is not None,
        "timeout_secs": hook.timeout_secs,
        "calls": {name: counts.get((hook.name, name), 0) for name in _STATES},
    }


def _line(document: dict[str, Any]) -> tuple[str, ...]:
    return (
        document["name"],
        document["kind"],
        document["target"],
        " ".join(document["events"]),
        " ".join(document["dataset_names"]) or "all",
        "yes" if document["signed"] else "no",
        str(document["calls"]["pending"]),
        str(document["calls"]["given_up"]),
    )


def _call(row: Row[Any]) -> dict[str, Any]:
    # Its state goes by that name too.
    given = row._mapping
    body = json.loads(row.body)
    return {
        "call": row.seq,
        "id": body["id"],
        **{name: given[name] for name in ("hook", "event", "dataset_id", "state", "attempts")},
        "dataset_name": body["dataset_name"],
        "due_at": _moment(row.due_at),
        "created_at": _moment(row.created_at),
        "error": row.error,
    }


def _call_line(document: dict[str, Any]) -> tuple[str, ...]:
    waits = document["state"] == "pending"
    return (
        str(document["call"]),
        document["hook"],
        document["event"],
        f"{document['dataset_name']} {document['dataset_id'][:_SHOWN_OF_ID]}",
        document["state"],
        str(document["attempts"]),
        document["due_at"] if waits else "",
        document["error"] or "",
    )


def _moment(secs: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(secs, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
