"""What comes of a build that nothing disturbs, to compare others with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builder import Start
from tests.support.listener import Connect


@pytest.fixture(scope="module")
def undisturbed_digest() -> dict[str, str]:
    """The digest, once there is one."""
    return {}


@pytest.fixture
def undisturbed(
    home: Path, start_builder: Start, client: Connect, undisturbed_digest: dict[str, str]
) -> str:
    """The SHA-256 of the archive of the toy as `home` has it, built without any fault."""
    if "sha256" not in undisturbed_digest:
        builder = start_builder(
            home.parent / "undisturbed",
            DATAMILL_RAW_ROOT=str(home / "raw"),
            DATAMILL_HANDLER_SOURCES=str(home / "wheels"),
        )
        trainer = client()
        undisturbed_digest["sha256"] = trainer.wait(trainer.ask("toy"))["sha256"]
        builder.stop()
        trainer.close()
    return undisturbed_digest["sha256"]
