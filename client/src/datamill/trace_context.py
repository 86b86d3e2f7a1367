"""Which trace a message belongs to: W3C Trace Context, level 1 (Recommendation, November 2021)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"

_PARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<rest>(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-"
    r"[0-9a-f]{2})(?P<more>-.*)?\Z"
)
_STATE = re.compile(r"[\x20-\x7e]{1,512}\Z")
_STORED_CHARACTERS = 255


@dataclass(frozen=True)
class TraceContext:
    """The fields `traceparent` and `tracestate`; whoever gets them passes them on."""

    parent: str
    state: str = ""

    @property
    def trace_id(self) -> str:
        """What all spans of the trace share: 32 hexadecimal digits."""
        return self.parent.split("-")[1]

    def headers(self) -> dict[str, str]:
        """Return the fields, for the headers of a message or of an HTTP request."""
        fields = {TRACEPARENT: self.parent}
        return {**fields, TRACESTATE: self.state} if self.state else fields

    def encode(self) -> str:
        """Return both as one line of at most 255 characters: a long state may be left out."""
        line = f"{self.parent} {self.state}".rstrip()
        return line if len(line) <= _STORED_CHARACTERS else self.parent

    @classmethod
    def decode(cls, line: str | None) -> TraceContext | None:
        """Return what `encode` wrote."""
        parent, _, state = (line or "").partition(" ")
        return cls.received({TRACEPARENT: parent, TRACESTATE: state})

    @classmethod
    def received(cls, headers: Mapping[str, object] | None) -> TraceContext | None:
        """Return the context that headers hold; None where there is none that can be read."""
        parent = headers.get(TRACEPARENT) if headers else None
        found = _PARENT.match(parent) if isinstance(parent, str) else None
        if headers is None or found is None or (found["version"] == "00" and found["more"]):
            return None  # a later version may say more: section 4.3 asks to read what is known
        state = headers.get(TRACESTATE)
        is_one = isinstance(state, str) and _STATE.match(state)
        return cls(f"00-{found['rest']}", str(state).strip() if is_one else "")
