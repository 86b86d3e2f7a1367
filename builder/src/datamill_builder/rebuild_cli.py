"""The `datamill rebuild` command."""

from __future__ import annotations

import json
import random

import click

from datamill import exits
from datamill_builder.id_completion import complete_dataset_id

_SEEDS = 2**31


@click.command()
@click.argument("dataset_id", metavar="ID", shell_complete=complete_dataset_id)
@click.option(
    "--check", is_flag=True, required=True, help="Only compare; nothing of the dataset is changed."
)
@click.option(
    "--shards",
    "count",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="K",
    help="How many shards to build once more.",
)
@click.option("--seed", type=click.IntRange(0), help="Which ones; by chance, and said.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def rebuild(
    ctx: click.Context, dataset_id: str, check: bool, count: int, seed: int | None, as_json: bool
) -> None:
    """Build some shards of dataset ID once more, elsewhere, and compare their bytes.

    They are made in a scratch folder, from the same raw data and by the same handler with the
    same packages. A dataset whose handler can't be cut into shards is made again as a whole. If
    the raw data is another by now, nothing can be compared, and that is said. The exit code is 1
    unless all bytes are equal. To have a dataset built anew, `datamill evict` it and ask again.

    Works on the data server itself, with the builder's settings; beside running builders.

    \b
    Example:
        datamill rebuild --check 5a57948d --shards 5
    """
    from datamill.settings import load_settings
    from datamill_builder.content_keys import content_keys
    from datamill_builder.inspection.rebuilding import Rebuild
    from datamill_builder.server_files import catalog_and_store

    assert check
    settings = load_settings()
    seed = random.randrange(_SEEDS) if seed is None else seed
    found = []
    with catalog_and_store(settings) as (catalog, store):
        with catalog.read() as connection:
            (content_key,) = content_keys(connection, [dataset_id])
        with Rebuild(settings, catalog, store, content_key) as again:
            again.check_comparable()
            numbers = again.choose(count, seed)
            for compared in again.compare(numbers):
                found.append(compared)
                if not as_json:
                    word = f"OTHER BYTES: {compared.says}" if compared.says else "equal"
                    click.echo(f"shard {compared.shard} ({compared.split}): {word}")
            if any(compared.says for compared in found):
                again.check_comparable()  # still: it may have changed meanwhile
            total, whole = len(again.finished), again.in_one_piece
    other = [compared.shard for compared in found if compared.says]
    if as_json:
        document = {
            "content_key": content_key,
            "ok": not other,
            "seed": seed,
            "in_one_piece": whole,
            "finished_shards": total,
            "shards": [compared.document() for compared in found],
        }
        click.echo(json.dumps(document))
    else:
        how = "in one piece" if whole else f"of {total}, seed {seed}"
        numbers_told = ", ".join(map(str, other))
        word = f"shards {numbers_told} have other bytes" if other else "all bytes are equal"
        click.echo(f"{len(found)} shards built once more ({how}): {word}")
    if other:
        ctx.exit(exits.EX_FAILED)
