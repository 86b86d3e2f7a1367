"""The `datamill raw` commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datamill_builder.raw_folders import RawDataset, Version
    from datamill_builder.raw_refresh import Refreshed

_HEADING = ("NAME", "HANDLER", "FILES", "SIZE", "VERSIONS", "ARCHIVES", "FOLDER")
_SHOWN_OF_DIGEST = 12

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def raw() -> None:
    """Say which raw data there is, and in which versions; add some; look at it again.

    It needs the files of the server: run it where a builder runs, with its settings.

    \b
    Example:
        datamill raw list
    """


@raw.command("list")
@click.argument("name", required=False)
@_as_json
def list_raw_data(name: str | None, as_json: bool) -> None:
    """List raw data by dataset name; with a NAME, its versions and what was made of each.

    Files and sizes are those of the version that was seen last; `datamill raw refresh` looks
    again.

    \b
    Examples:
        datamill raw list
        datamill raw list duts
    """
    from datamill.errors import NothingFound
    from datamill.settings import load_settings
    from datamill.table import table
    from datamill_builder.raw_folders import raw_datasets
    from datamill_builder.server_files import open_catalog

    settings = load_settings()
    with open_catalog(settings) as catalog:
        found = raw_datasets(settings, catalog)
    if name is not None:
        found = [each for each in found if each.name == name]
        if not found:
            raise NothingFound(f"no raw data is called {name}; `datamill raw list` names all")
    if as_json:
        document = {"raw_root": str(settings.raw_folder), "raw": [one.document() for one in found]}
        click.echo(json.dumps(document))
        return
    if not found:
        click.echo(f"no raw data in {settings.raw_folder}: datamill raw add FOLDER", err=True)
        return
    click.echo(table([_HEADING, *map(_row, found)]))
    if name is not None:
        click.echo("")
        click.echo("\n".join(_version(each) for each in found[0].versions) or "never seen yet")


@raw.command("add")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", help="The dataset's name; the folder's by default.")
@click.option("--handler", help="Its handler; the one of the dataset's name by default.")
@click.option("--version", help="The handler's version to try it with; the newest by default.")
@click.option("--config", metavar="JSON", help="The config to try it with; by default {}.")
@_as_json
def add_raw_data(
    folder: Path,
    name: str | None,
    handler: str | None,
    version: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Make FOLDER the raw data of a dataset, once its handler has listed it.

    A dataset with the name of its handler gets a link in the raw root. For another name, or
    another handler, [datasets.NAME] is written at the end of datamill.toml; what is there stays
    as it is. Nothing is copied, and nothing is written where the handler finds nothing.

    \b
    Examples:
        datamill raw add /data/duts
        datamill raw add /data/ECSSD --name ecssd --handler duts
    """
    name = _dataset_name(name or folder.absolute().name)
    given = _config(config)

    from datamill.settings import load_settings
    from datamill_builder.raw import raw_version
    from datamill_builder.raw_adding import carry_out, folder_after, plan_addition
    from datamill_builder.raw_trial import environment_for, list_raw
    from datamill_builder.server_files import environments_in, open_catalog, open_store

    settings, folder, handler = load_settings(), folder.absolute(), handler or name
    addition = plan_addition(settings, folder, name, handler)
    store = open_store(settings)
    with open_catalog(settings) as catalog:
        environments = environments_in(settings, catalog, store)
        environment = environment_for(handler, version, settings, environments)
        listed = list_raw(environment, folder, name, given, settings, environments, store)
        carry_out(settings, addition)
        seen = raw_version(catalog, folder_after(settings, addition), settings.raw_digest)
    if as_json:
        document = {
            "name": name,
            "folder": str(folder),
            "handler": listed.handler,
            "handler_version": listed.version,
            "splits": listed.splits,
            "raw_version": seen.digest,
            "link": str(addition.link) if addition.link else None,
            "setting": addition.entry,
        }
        click.echo(json.dumps(document))
        return
    click.echo(listed.text)
    click.echo(f"{name}: {addition.text}")
    click.echo(f"ask for it: datamill request {name} {listed.version}")


@raw.command("refresh")
@click.argument("name")
@_as_json
def refresh_raw_data(name: str, as_json: bool) -> None:
    """Read the raw data of dataset NAME again, and say what has changed.

    Archives that were made of older versions stay what they are, and are served as before. Who
    asks anew gets a dataset of the version that there is now.

    \b
    Example:
        datamill raw refresh duts
    """
    from datamill.settings import load_settings
    from datamill_builder.raw_folders import raw_dataset
    from datamill_builder.raw_refresh import refresh
    from datamill_builder.server_files import open_catalog

    settings = load_settings()
    with open_catalog(settings) as catalog:
        before = raw_dataset(settings, catalog, name)
        found = refresh(settings, catalog, before.folder)
    older = [
        build.archive
        for version in before.versions
        if version.seen.version != found.after.version
        for build in version.made
        if build.archive and build.state == "ready"
    ]
    if as_json:
        click.echo(json.dumps(_document(name, found, older)))
        return
    click.echo("\n".join(_told(name, found, older)))


def _dataset_name(given: str) -> str:
    from datamill.request import DATASET_NAME_PATTERN

    if not re.match(DATASET_NAME_PATTERN, given):
        raise click.UsageError(
            f"{given!r} can't be a dataset's name (a-z, 0-9, _ and -, at most 64): give --name"
        )
    return given


def _config(given: str | None) -> dict[str, Any]:
    try:
        config = json.loads(given or "{}")
    except ValueError as error:
        raise click.UsageError(f"--config: it is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise click.UsageError("--config: it is not a JSON object, as in {}")
    return config


def _row(one: RawDataset) -> tuple[Any, ...]:
    from datamill.table import size

    ready = sum(build.state == "ready" for version in one.versions for build in version.made)
    note = "" if one.there else " (not there, or closed)"
    unnamed = "" if one.can_be_asked_for else " (no dataset's name: datamill raw add --name)"
    return (
        one.name,
        one.handler if one.can_be_asked_for else "",
        one.files,
        size(one.size_bytes),
        len(one.versions),
        ready,
        f"{one.folder}{note}{unnamed}",
    )


def _version(version: Version) -> str:
    from datetime import datetime

    from datamill.table import size

    seen = version.seen
    told = "built before versions were counted"
    if seen.last_seen_at is not None:
        last = datetime.fromtimestamp(seen.last_seen_at).strftime("%Y-%m-%d %H:%M:%S")
        told = f"{seen.files} files, {size(seen.size_bytes)}, last seen {last}"
    lines = [f"version {seen.version[:_SHOWN_OF_DIGEST]}: {told}"]
    lines += [
        f"    {build.state:<9} {build.archive or build.content_key}" for build in version.made
    ]
    return "\n".join(lines)


def _document(name: str, found: Refreshed, older: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "folder": str(found.folder),
        "changed": found.is_other,
        "before": found.before.version if found.before else None,
        "after": found.after.version,
        "files": found.after.files,
        "bytes": found.after.size_bytes,
        "changes": found.changes.document() if found.changes else None,
        "older_archives": older,
        "resolved_anew": found.resolved_anew,
    }


def _told(name: str, found: Refreshed, older: list[str]) -> list[str]:
    from datamill.table import size

    after = f"{found.after.version[:_SHOWN_OF_DIGEST]}, {found.after.files} files, " + size(
        found.after.size_bytes
    )
    if found.before is None:
        return [f"{name}: seen for the first time: version {after}"]
    if not found.is_other:
        return [f"{name}: nothing has changed: version {after}"]
    lines = [f"{name}: version {found.before.version[:_SHOWN_OF_DIGEST]} → {after}"]
    for kind, told in (found.changes.document() if found.changes else {}).items():
        lines += [f"  {told['count']} {kind}"] if told["count"] else []
        lines += [f"    {path}" for path in told["first"]]
    stay = (
        "1 archive of older versions stays"
        if len(older) == 1
        else (f"{len(older)} archives of older versions stay")
    )
    lines.append(f"{stay}; who asks anew gets it built of what is there now")
    return lines
