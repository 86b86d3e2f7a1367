from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

from datamill_producer.training import parse_command, run_training


def test_words_are_split_as_a_shell_does() -> None:
    assert parse_command("""python 'my train.py' {path} "a b" """) == [
        "python", "my train.py", "{path}", "a b",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "  ", "python 'x", "# only a comment'"])
def test_no_command(text: str) -> None:
    with pytest.raises(click.UsageError, match="--exec"):
        parse_command(text)


def test_placeholders_environment_and_exit_code(tmp_path: Path) -> None:
    folder = tmp_path / "a folder; touch x"
    folder.mkdir()
    program = (
        "import os, pathlib, sys\n"
        "pathlib.Path(sys.argv[1], 'seen').write_text(' '.join([*sys.argv[2:],"
        " os.environ['DATAMILL_DATASET_PATH'], os.environ['DATAMILL_DATASET_ID']]))\n"
        "sys.exit(5)"
    )
    words = [sys.executable, "-c", program, "{path}", "id={id}", "{other}"]
    assert run_training(words, "abc", folder) == 5
    assert (folder / "seen").read_text() == f"id=abc {{other}} {folder} abc"


def test_a_killed_training_counts_as_in_a_shell(tmp_path: Path) -> None:
    assert run_training(["sh", "-c", "kill -TERM $$"], "abc", tmp_path) == 128 + signal.SIGTERM


def test_what_can_not_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_training(["no-such-program"], "abc", tmp_path) == 127
    (tmp_path / "text").write_text("no program")
    assert run_training([str(tmp_path / "text")], "abc", tmp_path) == 126
    assert capsys.readouterr().err.count("\n") == 2


def test_sigterm_is_passed_on_and_its_answer_is_ours(tmp_path: Path) -> None:
    training = (
        "import signal, sys, pathlib\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    program = textwrap.dedent(
        f"""
        import pathlib, sys
        from datamill_producer.training import run_training
        words = [sys.executable, "-c", {training!r}]
        sys.exit(run_training(words, "abc", pathlib.Path({str(tmp_path)!r})))
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(10) == 42
