"""The `datamill` command."""

from __future__ import annotations

import click

from datamill_producer.lazy_group import BorrowedCommand, LazyGroup, OwnCommand

_COMMANDS = "datamill_producer.commands"

SECTIONS = {
    "Datasets": {
        "request": OwnCommand("Ask for a dataset; wait; train.", f"{_COMMANDS}.request:request"),
        "show": OwnCommand("Everything about one dataset.", f"{_COMMANDS}.show:show"),
        "explain": OwnCommand("Why two are not one dataset.", f"{_COMMANDS}.explain:explain"),
        "status": OwnCommand("How a dataset or the service is.", f"{_COMMANDS}.status:status"),
        "list": OwnCommand("The datasets that were asked for.", f"{_COMMANDS}.list:list_datasets"),
        "watch": OwnCommand("Follow datasets until they are ready.", f"{_COMMANDS}.watch:watch"),
        "get": OwnCommand("Download and unpack a dataset.", f"{_COMMANDS}.get:get"),
    },
    "Handlers and raw data": {
        "handlers": BorrowedCommand(
            "What there are, their options; check one.", "datamill-builder"
        ),
        "raw": BorrowedCommand("Raw data, and its versions.", "datamill-builder"),
    },
    "Services": {
        "up": OwnCommand("Run everything on this machine.", "datamill_producer.up.command:up"),
        "builder": BorrowedCommand("Run a builder alone.", "datamill-builder"),
        "notifier": BorrowedCommand("Run a notifier alone.", "datamill-notifier"),
    },
    "Administration": {
        "top": OwnCommand("What happens, as it happens.", f"{_COMMANDS}.top:top"),
        "doctor": OwnCommand("What is wrong, and what to do.", f"{_COMMANDS}.doctor:doctor"),
        "cancel": OwnCommand("Stop the build of a dataset.", f"{_COMMANDS}.cancel:cancel"),
        "pin": OwnCommand("Keep datasets from eviction.", f"{_COMMANDS}.pin:pin"),
        "unpin": OwnCommand("Let datasets be evicted.", f"{_COMMANDS}.pin:unpin"),
        "evict": OwnCommand("Take datasets out of the store.", f"{_COMMANDS}.evict:evict"),
        "gc": OwnCommand("Bring the store under its budget.", f"{_COMMANDS}.gc:gc"),
        "verify": BorrowedCommand("Read the store's every byte.", "datamill-builder"),
        "rebuild": BorrowedCommand("Build shards again, and compare.", "datamill-builder"),
        "replay": OwnCommand("Publish accepted requests again.", f"{_COMMANDS}.replay:replay"),
        "dead": OwnCommand("Look at refused messages.", f"{_COMMANDS}.dead:dead"),
        "hooks": BorrowedCommand("Who is told of answers; try it; call again.", "datamill-builder"),
    },
}

# The numbers are `datamill.exits`'; a test compares them.
EPILOG = """\b
Exit codes:
    0  done
    1  failed in a way that has no code of its own
    2  wrong command line, or a request that describes no dataset
    3  the dataset will not come: its build failed or was refused
    4  not ready in the time given
    5  nothing there to act on
   69  broker or notifier can't be reached
   77  broker or notifier refused the login or the permission
   78  a setting is wrong, or something else runs in this home
  130  Ctrl-C

\b
Completion: eval "$(_DATAMILL_COMPLETE=bash_source datamill)"  (or zsh_source)
"""


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="datamill-producer", prog_name="datamill")
@click.option(
    "--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere on the line."
)
def datamill(debug: bool) -> None:
    """Ask for prepared machine-learning datasets, and run what prepares them.

    \b
    Example:
        datamill up                                   (in one terminal)
        datamill request duts 1.0.0 -o max_items=100  (in another)
    """


def main() -> None:
    """Run `datamill`."""
    datamill(prog_name="datamill")
