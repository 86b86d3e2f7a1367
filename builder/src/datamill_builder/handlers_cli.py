"""The `datamill handlers` commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datamill import exits

if TYPE_CHECKING:
    from datamill.settings import Settings
    from datamill_builder.handler_check.demand import Finding
    from datamill_builder.handlers.environments import Environments
    from datamill_builder.store import Store

_HEADING = ("HANDLER", "VERSION", "PACKAGE", "ENVIRONMENT", "SOURCE")
_MARKS = {"ok": "ok", "failed": "FAILED", "not tried": "-"}
_TRACEBACK_LINES = 12

_source = click.option(
    "--handler-source",
    "handler_sources",
    multiple=True,
    metavar="SOURCE",
    help="A folder of wheels, a git repository or an index; may be repeated.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def handlers() -> None:
    """Say which handlers there are and what their options mean; check one of your own.

    Handlers come from DATAMILL_HANDLER_SOURCES, as builders have it, or --handler-source.

    \b
    Example:
        datamill handlers show duts 1.0.0
    """


@handlers.command("list")
@_source
@_as_json
def list_handlers(handler_sources: tuple[str, ...], as_json: bool) -> None:
    """List the handlers that the sources offer, and which environments are made.

    The tags of a git repository tell versions, but no names: its handlers are listed by name once
    one was asked for. What an index holds can't be listed.

    \b
    Example:
        datamill handlers list
    """
    from datamill.table import size, table
    from datamill_builder.handlers.offers import offers, told_of
    from datamill_builder.handlers.sources import sources_of

    settings = _settings(handler_sources)
    with _environments(settings, _store(settings)) as environments:
        sources = sources_of(settings)
        found = offers(sources, environments)
        told = [told_of(text, source) for text, source in sources.items()]
        made = environments.made_bytes()
        folder = settings.home / "environments"
    if as_json:
        document = {
            "handlers": [offer.document() for offer in found],
            "sources": told,
            "environments": {"folder": str(folder), "made": len(made), "bytes": sum(made.values())},
        }
        click.echo(json.dumps(document))
        return
    if found:
        rows = [
            (o.handler, o.version, o.package, size(o.bytes) or "not made yet", o.source)
            for o in found
        ]
        click.echo(f"{table([_HEADING, *rows])}\n")
    for line in told or ["no sources: set DATAMILL_HANDLER_SOURCES"]:
        click.echo(line)
    click.echo(f"environments made: {len(made)}, {size(sum(made.values()))}, in {folder}")


@handlers.command("show")
@click.argument("name")
@click.argument("version")
@_source
@_as_json
def show_handler(name: str, version: str, handler_sources: tuple[str, ...], as_json: bool) -> None:
    """Say what the handler of the datasets NAME is in a VERSION: options, ranges, defaults.

    Its environment is made if it is not there. Names and versions that no source has get the
    answer that a request would get.

    \b
    Example:
        datamill handlers show duts 1.0.0
    """
    from datamill.request import Request
    from datamill_builder.handlers.described import describe

    Request.of(name, version, {})
    settings = _settings(handler_sources)
    store = _store(settings)
    with _environments(settings, store) as environments:
        described = describe(name, version, settings, environments, store)
    click.echo(json.dumps(described.document()) if as_json else described.text())


@handlers.command("check")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--handler", "only", multiple=True, metavar="NAME", help="Look at this one alone.")
@click.option(
    "--raw",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Raw data to try it on; by default the folder of its name in the raw root.",
)
@click.option("--config", metavar="JSON", help="The config to try it with; by default {}.")
@_source
@_as_json
@click.pass_context
def check_handler(
    ctx: click.Context,
    path: Path,
    only: tuple[str, ...],
    raw: Path | None,
    config: str | None,
    handler_sources: tuple[str, ...],
    as_json: bool,
) -> None:
    """Put the handler package at PATH through what a builder will demand of it.

    PATH is a folder with a pyproject.toml, or a wheel. The package is built, installed into an
    environment of its own and run on raw data: a line per demand, which says how it is met, or
    what is wrong and what to do. The exit code is 1 if one is not met. Nothing is kept.

    \b
    Examples:
        datamill handlers check my-handlers
        datamill handlers check my-handlers --raw flowers --config '{"max_items": 10}'
    """
    from datamill_builder.handler_check.checking import check

    given = _config(config)
    settings = _settings(handler_sources)
    found: list[Finding] = []
    with _store(settings).scratch() as folder:
        for finding in check(path, folder, settings, only=only, raw=raw, config=given):
            if not as_json:
                if finding.handler and finding.handler != (found and found[-1].handler):
                    click.echo(f"\n{finding.handler}")
                click.echo(_told(finding))
            found.append(finding)
    unmet = sum(finding.verdict == "failed" for finding in found)
    if as_json:
        document = {
            "path": str(path),
            "ok": not unmet,
            "demands": [finding.document() for finding in found],
        }
        click.echo(json.dumps(document))
    else:
        word = f"{unmet} of {len(found)} demands are not met" if unmet else "all demands are met"
        click.echo(f"\n{word}")
    if unmet:
        ctx.exit(exits.EX_FAILED)


@handlers.command("prune")
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="So many of the newest releases of each package stay.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@_as_json
def prune_environments(keep: int, dry_run: bool, as_json: bool) -> None:
    """Remove handler environments that nobody needs, and say how many bytes are free again.

    What a process of this machine uses stays, and what a build under way is made in, and recent
    releases; it may run beside builders. What went is made again, to the same packages, when it
    is asked for. Files that are in uv's cache, too, free nothing: `uv cache prune` looks there.

    \b
    Examples:
        datamill handlers prune --dry-run
        datamill handlers prune --keep 1
    """
    from datamill_builder.handlers.pruning import prune
    from datamill_builder.server_files import open_catalog

    settings = _settings(())
    with open_catalog(settings) as catalog:
        found = list(prune(settings.home / "environments", catalog, keep, dry_run=dry_run))
    freed_bytes = sum(each.freed_bytes for each in found if each.kept is None)
    if as_json:
        document = {
            "dry_run": dry_run,
            "freed_bytes": freed_bytes,
            "environments": [each.document() for each in found],
        }
        click.echo(json.dumps(document))
        return
    from datamill.table import size, table

    gone = "would be removed" if dry_run else "removed"
    rows = [
        (each.package, each.versions, size(each.size_bytes), f"stays: {each.kept}")
        if each.kept
        else (each.package, each.versions, size(each.size_bytes), gone)
        for each in found
    ]
    if rows:
        click.echo(f"{table(rows)}\n")
    count = sum(each.kept is None for each in found)
    word = "would be free" if dry_run else "are free again"
    click.echo(f"{count} of {len(found)} environments {gone}; {size(freed_bytes)} {word}")


def _config(given: str | None) -> dict[str, Any]:
    try:
        config = json.loads(given or "{}")
    except ValueError as error:
        raise click.UsageError(f"--config: it is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise click.UsageError("--config: it is not a JSON object, as in {}")
    return config


def _told(finding: Finding) -> str:
    lines = [f"{_MARKS[finding.verdict]:<7} {finding.demand:<28} {finding.says}"]
    if finding.advice:
        lines.append(f"{'':8}what to do: {finding.advice}")
    lines += [f"{'':8}{line}" for line in finding.traceback.splitlines()[-_TRACEBACK_LINES:]]
    return "\n".join(lines)


@contextmanager
def _environments(settings: Settings, store: Store) -> Iterator[Environments]:
    """Give the environments that a builder with these settings uses."""
    from datamill_builder.server_files import environments_in, open_catalog

    with open_catalog(settings) as catalog:
        yield environments_in(settings, catalog, store)


def _store(settings: Settings) -> Store:
    from datamill_builder.server_files import open_store

    return open_store(settings)


def _settings(handler_sources: tuple[str, ...]) -> Settings:
    from datamill.settings import load_settings

    return load_settings(handler_sources=handler_sources or None)
