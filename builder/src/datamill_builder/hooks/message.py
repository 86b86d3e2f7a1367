"""What a hook is told, and what comes of it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from datamill.events import now

TEST_EVENT = "test"


@dataclass(frozen=True)
class Message:
    """One attempt to tell one event. `body` is JSON; it holds the id, which all attempts share."""

    body: str
    attempt: int = 1

    @property
    def document(self) -> dict[str, Any]:
        """What the body says."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def id(self) -> str:
        """The message's id."""
        return str(self.document["id"])


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt. `says` is a line for people, without secrets."""

    done: bool
    says: str
    final: bool = False
    """Whether another attempt is of no use."""
    pause_secs: float = 0.0
    """How long the other side wants to be left alone."""
    broken_off: bool = False
    """Whether we were told to stop meanwhile: it was no attempt."""


STOPPED = Outcome(False, "the builder was stopped meanwhile", broken_off=True)


class Target(Protocol):
    """Where a hook leads."""

    def tell(self, message: Message) -> Outcome:
        """Tell it; returns after the hook's time limit at the latest."""

    def stop(self) -> None:
        """Break off what is under way; from any thread, and more than once."""


def trial() -> Message:
    """Return a message that tells of nothing, for those who want to see whether one arrives."""
    document = {
        "id": f"msg_{uuid.uuid4().hex}",
        "event": TEST_EVENT,
        "dataset_id": "0" * 64,
        "time": now(),
        "dataset_name": TEST_EVENT,
        "handler_version": "0",
        "dataset_config": {},
        "message": "a test by `datamill hooks test`: nothing has happened",
    }
    return Message(json.dumps(document))
