"""`datamill request`."""

from __future__ import annotations

import json
from typing import Any

import click

from datamill_producer.completing import complete_dataset_name, complete_handler_version
from datamill_producer.config_option import config_from
from datamill_producer.training import parse_command, run_training


@click.command()
@click.argument("name", shell_complete=complete_dataset_name)
@click.argument("version", shell_complete=complete_handler_version)
@click.option("--config", metavar="JSON|@FILE|-", help="The dataset's config, a JSON object.")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="One option of the config; repeatable.",
)
@click.option("--wait/--no-wait", default=None, help="Wait until it is here and unpacked.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECS", help="Wait no longer.")
@click.option("--exec", "command", metavar="COMMAND", help="Run a training on it; implies --wait.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")
@click.pass_context
def request(
    ctx: click.Context,
    name: str,
    version: str,
    config: str | None,
    options: tuple[str, ...],
    wait: bool | None,
    timeout: float | None,
    command: str | None,
    as_json: bool,
) -> None:
    """Ask for dataset NAME, made by handler VERSION.

    Prints the dataset id at once, and with --wait the folder once it is there. A value of -o is
    JSON where it can be read so, else text. Where it has to be built, and a finished dataset is
    almost the same, stderr says what differs.

    --exec runs a command when the data is there, without a shell: {path} and {id} in it are
    replaced, DATAMILL_DATASET_PATH and DATAMILL_DATASET_ID are set, and its exit code is this
    command's.

    \b
    Examples:
        datamill request duts 1.0.0 -o 'image_size=[1024,1024]' --wait
        datamill request duts 1.0.0 --config @duts.json --exec 'python train.py {path}'
    """
    if command is not None and wait is False:
        raise click.UsageError("--exec waits for the data: leave out --no-wait")
    if timeout is not None and not (wait or command):
        raise click.UsageError("--timeout is for --wait or --exec")
    words = parse_command(command) if command is not None else None
    wanted = config_from(config, options)

    import datamill  # only now: what it brings is not needed for help or a wrong command line

    dataset = datamill.request_dataset(name, version, wanted)
    near = _near(name, version, wanted)
    told = {"near": near} if near else {}
    _say(dataset.id, {"dataset_id": dataset.id, **told}, as_json)
    if near and not as_json:
        click.echo(f"it {near['text']}", err=True)
    if not (wait or words):
        return
    folder = dataset.wait(timeout=timeout, progress=True)
    _say(str(folder), {"dataset_id": dataset.id, "folder": str(folder)}, as_json)
    if words:
        ctx.exit(run_training(words, dataset.id, folder, stdout_is_ours=as_json))


def _near(name: str, version: str, config: dict[str, Any]) -> dict[str, Any] | None:
    from datamill_producer.near_hint import near_to

    return near_to(name, version, config)


def _say(text: str, document: dict[str, Any], as_json: bool) -> None:
    click.echo(json.dumps(document) if as_json else text)
