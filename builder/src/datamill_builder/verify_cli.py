"""The `datamill verify` command."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import click

from datamill import exits
from datamill_builder.id_completion import complete_dataset_id

if TYPE_CHECKING:
    from datamill_builder.inspection.verifying import Finding


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=complete_dataset_id)
@click.option("--dry-run", is_flag=True, help="Only say what is damaged; set nothing aside.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def verify(ctx: click.Context, ids: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Read every byte of the store, or of the datasets ID, and compare it with its digest.

    Archives, each shard in them, and the finished shards of what is still being built. What is
    damaged is set aside (in the store's folder `quarantine`), and a dataset that was ready is
    told as evicted: asking for it builds it again. The exit code is 1 if anything is damaged.

    Works on the data server itself, with the builder's settings; beside running builders.

    \b
    Examples:
        datamill verify
        datamill verify 5a57948d --dry-run
    """
    from datamill.errors import NothingFound
    from datamill.settings import load_settings
    from datamill.table import size
    from datamill_builder.content_keys import content_keys
    from datamill_builder.inspection.verdict import Verdict
    from datamill_builder.inspection.verifying import to_verify, verify
    from datamill_builder.server_files import catalog_and_store

    # What is found is said below, once.
    logging.getLogger("datamill_builder").addHandler(logging.NullHandler())
    found: list[Finding] = []
    with catalog_and_store(load_settings()) as (catalog, store):
        with catalog.read() as connection:
            stock = to_verify(connection, content_keys(connection, ids) if ids else None)
        if ids and not stock:
            raise NothingFound("nothing of it lies in the store: ask for it, and it is built")
        hidden = not sys.stderr.isatty()
        total = sum(stock.values())
        with click.progressbar(length=total, file=sys.stderr, hidden=hidden) as bar:
            for content_key in stock:
                found += verify(catalog, store, content_key, bar.update, dry_run=dry_run)
    bad = [finding for finding in found if finding.verdict is not Verdict.SOUND]
    read_bytes = sum(finding.bytes for finding in found)
    if as_json:
        document = {
            "ok": not bad,
            "files": len(found),
            "bytes": read_bytes,
            "dry_run": dry_run,
            "found": [finding.document() for finding in found],
        }
        click.echo(json.dumps(document))
    else:
        for finding in bad:
            click.echo(_told(finding))
        word = f"{len(bad)} of {len(found)} files are not sound" if bad else "all sound"
        if not found:
            word = f"nothing lies in {store.root}"
        click.echo(f"{len(found)} files, {size(read_bytes)} read: {word}")
    if bad:
        ctx.exit(exits.EX_FAILED)


def _told(finding: Finding) -> str:
    where = f"; it is now {finding.kept}" if finding.kept else ""
    return f"{finding.verdict.upper()}  {finding.file}: {'; '.join(finding.says)}{where}"
