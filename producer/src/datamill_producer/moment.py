"""Moments on the command line, and how they are shown."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import click

_AGO = re.compile(r"(?P<count>\d+(\.\d+)?)(?P<unit>[smhd])")
_UNIT_SECS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Moment(click.ParamType[float]):
    """RFC 3339 (UTC where it has no zone), or how long ago: `30m`, `2h`, `7d`."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds since the epoch."""
        text = str(value)
        if ago := _AGO.fullmatch(text):
            return time.time() - float(ago["count"]) * _UNIT_SECS[ago["unit"]]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no time: 2026-01-31T12:00:00Z, or 2h for two hours ago")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def local_time(written: str | None) -> str:
    """Return an RFC 3339 time as people here read it; empty for None."""
    if written is None:
        return ""
    return datetime.fromisoformat(written).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def local_clock(written: str) -> str:
    """Return the time of day of an RFC 3339 time, as clocks here show it."""
    return datetime.fromisoformat(written).astimezone().strftime("%H:%M:%S")
