"""`datamill gc`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from datamill.table import size, table
from datamill_producer.gateway import Document, Gateway

_HEADING = ("ID", "NAME", "SIZE", "UNUSED FOR", "BUILT IN", "")
_SHOWN_OF_ID = 12
_STAYS = {
    "pinned": "stays: pinned",
    "downloading": "stays: is being downloaded",
    "wanted": "stays: is asked for just now",
    "recent": "stays: told ready or fetched within the last hour",
    "fits": "stays: there is room for it",
}
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


@click.command()
@click.option(
    "--budget",
    type=click.IntRange(0),
    metavar="BYTES",
    help="Another budget than DATAMILL_STORE_BUDGET_BYTES, this time.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only say what would go, in which order, and why others stay."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def gc(budget: int | None, dry_run: bool, as_json: bool) -> None:
    """Bring the store under its budget, and delete files that nobody needs.

    What goes first is large, unused for long and quickly built: bytes times idle time, by the
    time that handlers worked on it. What is pinned, being built or downloaded, or was told ready
    within the last hour stays. Builders do the same by themselves, after each build and every
    minute. Needs the admin token (DATAMILL_ADMIN_TOKEN), but for the service of `datamill up` on
    this machine.

    \b
    Examples:
        datamill gc --dry-run
        datamill gc --budget 500000000000
    """
    from datamill.runfile import find_service
    from datamill.settings import load_settings

    found = Gateway(find_service(load_settings())).gc(budget, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(found))
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: Document) -> Iterator[str]:
    goes = "would go" if found["dry_run"] else "gone"
    rows = [_row(each, goes) for each in found["gone"]]
    rows += [_row(each, _STAYS.get(each["why"], each["why"])) for each in found["stay"]]
    if rows:
        yield table([_HEADING, *rows])
        yield ""
    if found["strays"]:
        yield f"files that nobody needs: {_amount(found['strays'])}: {goes}"
    if found["quarantined"]:
        yield f"damaged files in the store's folder quarantine: {_amount(found['quarantined'])}"
    yield _sum(found)


def _amount(files: list[Document]) -> str:
    return f"{len(files)}, {size(sum(each['bytes'] for each in files))}"


def _sum(found: Document) -> str:
    if found["budget_bytes"] is None:
        return f"the store holds {size(found['held_bytes'])}; it has no budget, or give --budget"
    text = f"{size(found['held_bytes'])} → {size(found['left_bytes'])}"
    text += f", budget {size(found['budget_bytes'])}"
    if found["over_bytes"]:
        text += f": {size(found['over_bytes'])} over it, and nothing more may go yet"
    return text


def _row(document: Document, what: str) -> tuple[object, ...]:
    ids = document["dataset_ids"] or [document["content_key"]]
    more = f" (+{len(ids) - 1})" if len(ids) > 1 else ""
    name = document["dataset_name"]
    return (
        ids[0][:_SHOWN_OF_ID] + more,
        name if document["what"] == "archive" else f"{name} (unfinished)",
        size(document["bytes"]),
        _duration(document["idle_secs"]),
        _duration(document["build_secs"]),
        what,
    )


def _duration(secs: float) -> str:
    for unit_secs, unit in _UNITS:
        if secs >= unit_secs:
            return f"{secs / unit_secs:.1f} {unit}"
    return f"{secs:.1f} s"
