"""Starting a training once its data is there."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""What shells exit with for a command that is not there, or is none."""
SIGNALLED = 128
"""Added to the number of the signal that ended a command, as shells do."""


def parse_command(text: str) -> list[str]:
    """Return a command's words; raise `click.UsageError`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"--exec: {error}: {text}") from error
    if not words:
        raise click.UsageError("--exec: the command is empty")
    return words


def run_training(
    words: list[str], dataset_id: str, folder: Path, *, stdout_is_ours: bool = False
) -> int:
    """Run a command on an unpacked dataset, without a shell; return the exit code.

    `{path}` and `{id}` in its words are replaced. This process stays beside it: it holds the
    dataset in the cache. `stdout_is_ours`: what the command prints goes to stderr.
    """
    command = [word.replace("{path}", str(folder)).replace("{id}", dataset_id) for word in words]
    environment = os.environ | {
        "DATAMILL_DATASET_PATH": str(folder),
        "DATAMILL_DATASET_ID": dataset_id,
    }
    try:
        process = subprocess.Popen(
            command, env=environment, stdout=sys.stderr if stdout_is_ours else None
        )
    except OSError as error:
        click.echo(f"datamill: --exec: {command[0]}: {error.strerror}", err=True)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    with _signals_passed_on(process):
        code = process.wait()
    return code if code >= 0 else SIGNALLED - code


@contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    # Ctrl-C reaches the training by itself: it is in our process group.
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
