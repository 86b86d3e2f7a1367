"""What `import datamill` costs, and what it never brings in."""

from __future__ import annotations

import subprocess
import sys

import datamill

HEAVY = ("tensorflow", "pydantic", "pydantic_settings", "rich", "asyncio", "pika", "filelock")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_import_brings_in_nothing_heavy() -> None:
    code = f"import sys, datamill; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]"


def test_import_takes_next_to_no_time() -> None:
    """CPU seconds of `import datamill`, the interpreter's own start taken off; the best of 3."""
    code = "import time; t = time.process_time(); import datamill; print(time.process_time() - t)"
    assert min(float(run(code)) for _ in range(3)) < 0.15


def test_asking_needs_no_tensorflow() -> None:
    code = (
        "import sys, datamill, datamill.broker_session, datamill.http_session, datamill.tf_data; "
        "datamill.request_dataset, datamill.subscribe, datamill.wait_for_completion; "
        "print('tensorflow' in sys.modules)"
    )
    assert run(code) == "False"


def test_every_exported_name_is_there() -> None:
    assert all(getattr(datamill, name) is not None for name in datamill.__all__)
    assert set(datamill.__all__) <= set(dir(datamill))
    assert issubclass(datamill.WaitTimeout, TimeoutError)
    assert issubclass(datamill.DigestMismatch, datamill.DatamillError)


def test_a_name_that_is_not_there() -> None:
    assert not hasattr(datamill, "request_datasets")
