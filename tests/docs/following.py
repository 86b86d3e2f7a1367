"""Doing what a document tells its reader to do, and comparing what it shows."""

from __future__ import annotations

import shutil
from collections.abc import Container

import pytest

from tests.docs.readme import Command, File, Snippet, Step, shows
from tests.docs.session import Session

NEEDED = {
    "curl": "is not installed here",
    "git": "is not installed here",
    "make": "is not installed here",
}


def follow(session: Session, step: Step, not_run: Container[str] = ()) -> str:
    """Do one step, but for commands that are not run; return what it shows."""
    match step:
        case File():
            session.write(step)
            return ""
        case Snippet():
            done = session.python(step.source)
            assert done.returncode == 0, f"{step.source}\n{done.stdout}\n{done.stderr}"
            assert done.stdout, "a snippet that shows nothing"
            return done.stdout
        case Command() if step.line in not_run:
            return ""
        case Command() if step.line.startswith("datamill up"):
            output = session.up(step.line)
            assert shows(output, step.output) is None, f"{step.line}\n{output}"
            return output
        case Command():
            return run(session, step)


def run(session: Session, command: Command) -> str:
    """Run a command; return what it shows."""
    program = command.line.split()[0]
    if program in NEEDED and shutil.which(program) is None:
        pytest.skip(f"{program} {NEEDED[program]}")
    done = session.run(command.line)
    said = f"$ {command.line}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    missing = shows(done.stdout, command.output)
    assert missing is None, f"no line {missing!r} in\n{said}"
    return done.stdout
