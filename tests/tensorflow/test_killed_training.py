"""A training that is killed in the middle of an epoch, and goes on exactly where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import datamill
from tests.support.archives import PackedArchive, example, pack
from tests.tensorflow.playing import environment, play, ready, server

__all__ = ["environment", "play", "ready", "server"]

SHARDS, EACH = 12, 50
ARCHIVE = pack(
    {
        "train": [
            [example(number=s * EACH + n, text=b"") for n in range(EACH)] for s in range(SHARDS)
        ]
    }
)
EPOCHS, BATCH = 2, 7
WAIT_SECS = 60.0

PREAMBLE = """
    import itertools, json, os, signal, sys
    from pathlib import Path
    import datamill

    folder, epochs, batch_size = Path(sys.argv[1]), 2, 7
    shuffle, killed_after = map(json.loads, sys.argv[2:])
    dataset = datamill.request_dataset("toy", "1.0.0", {})
    log = (folder / "log").open("a")

    def step(number, batch):
        global killed_after
        print(json.dumps([number, [int(one) for one in batch["number"]]]), file=log, flush=True)
        killed_after -= 1
        if killed_after == 0:
            os.kill(os.getpid(), signal.SIGKILL)  # as from outside, at a moment that is known
"""

WITH_TENSORFLOW = """
    import tensorflow as tf

    reader = dataset.tf_reader(batch_size=batch_size, shuffle=shuffle, seed=1)
    steps = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(steps=steps, data=reader)
    manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=2)
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint)
    while reader.epoch < epochs:
        for batch in itertools.islice(reader, 5):
            step(int(steps), batch)
            steps.assign_add(1)
        manager.save()
"""

WITH_NUMPY = """
    reader = dataset.reader(batch_size=batch_size, shuffle=shuffle, seed=1)
    steps, file = 0, folder / "state.json"
    if file.exists():
        steps, state = json.loads(file.read_text())
        reader.load_state_dict(state)
    while reader.epoch < epochs:
        for batch in itertools.islice(reader, 5):
            step(steps, batch)
            steps += 1
        (folder / "new").write_text(json.dumps([steps, reader.state_dict()]))
        os.replace(folder / "new", file)
"""

SCRIPTS = {
    name: textwrap.dedent(PREAMBLE) + textwrap.dedent(text)
    for name, text in (("tensorflow", WITH_TENSORFLOW), ("numpy", WITH_NUMPY))
}


class Training:
    """A script that trains, and writes down which records each of its steps was given."""

    def __init__(self, script: str, folder: Path, shuffle: bool | int) -> None:
        folder.mkdir()
        self._command = [sys.executable, "-c", script, str(folder), json.dumps(shuffle)]
        self._log = folder / "log"

    @property
    def steps(self) -> list[tuple[int, list[int]]]:
        return [tuple(json.loads(line)) for line in self._log.read_text().splitlines()]

    def run(self, killed_after: int = 0) -> None:
        """Run to the end, or until it is killed after so many steps."""
        done = subprocess.run(
            [*self._command, str(killed_after)],
            capture_output=True,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            timeout=WAIT_SECS,
            check=False,
        )
        assert done.returncode == (-signal.SIGKILL if killed_after else 0), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, 100, True])
@pytest.mark.parametrize("kind", SCRIPTS)
def test_the_records_are_those_of_a_run_that_was_not_killed(
    ready: Callable[[PackedArchive], datamill.Dataset],
    tmp_path: Path,
    kind: str,
    shuffle: bool | int,
) -> None:
    ready(ARCHIVE).wait()
    undisturbed = Training(SCRIPTS[kind], tmp_path / "undisturbed", shuffle)
    undisturbed.run()
    expected = dict(undisturbed.steps)
    assert len(expected) == len(undisturbed.steps) == EPOCHS * -(-SHARDS * EACH // BATCH)

    killed = Training(SCRIPTS[kind], tmp_path / "killed", shuffle)
    killed.run(killed_after=13)  # in the first epoch, three steps after a checkpoint
    assert len(killed.steps) == 13
    killed.run(killed_after=98)  # in the second epoch
    killed.run()
    assert dict(killed.steps) == expected
    for number, records in killed.steps:
        assert records == expected[number], "what was done twice was the same twice"
    assert len(killed.steps) > len(expected) + 3, "some were done twice, after each kill"
    epoch = [n for step in sorted(expected) for n in expected[step]][: SHARDS * EACH]
    assert (epoch == sorted(epoch)) is (shuffle is False)
    assert sorted(epoch) == list(range(SHARDS * EACH))
