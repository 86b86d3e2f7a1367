"""Bars for build and download: one display for all datasets that a process waits for.

Where stderr is no terminal, a line now and then takes their place.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from datamill.events import Accepted, Event, Failed, Planned, Progress, Ready

if TYPE_CHECKING:
    import rich.progress

_LINE_EVERY_SECS = 10.0


class ProgressView:
    """What a person sees of one dataset; used in a `with`."""

    def __enter__(self) -> ProgressView:
        return self

    def __exit__(self, *_error: object) -> None:
        """Take the rows away."""

    def event(self, event: Event) -> None:
        """Show what an event says."""

    def download(self, done_bytes: int, total_bytes: int) -> None:
        """Show how far the download is."""


def progress_view(label: str, *, shown: bool) -> ProgressView:
    """Return bars on a terminal, lines elsewhere, nothing if it is not to be shown."""
    if not shown:
        return ProgressView()
    return _Bars(label) if sys.stderr.isatty() else _Lines(label)


class _Lines(ProgressView):
    """A line at every change of stage, and every ten seconds."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._stage = ""
        self._said_at = 0.0

    def event(self, event: Event) -> None:
        match event:
            case Accepted(state="queued", ahead=ahead):
                self._say("queued", f"queued, {ahead} ahead")
            case Planned(records=records, shards=shards):
                self._say("planned", f"{records} records in {shards} shards will be built")
            case Progress(shards_done=done, shards=shards, records_done=records):
                self._say("building", f"{done} of {shards} shards, {records} records built")
            case Ready(records=records, cached=cached):
                self._say("ready", f"ready, {records} records" + ("" if cached else ", just built"))
            case Failed(message=message):
                self._say("failed", f"failed: {message}")

    def download(self, done_bytes: int, total_bytes: int) -> None:
        share = 100 * done_bytes // max(total_bytes, 1)
        stage = "downloaded" if done_bytes == total_bytes else "download"
        self._say(stage, f"{share} % of {total_bytes / 1e6:.1f} MB downloaded")

    def _say(self, stage: str, text: str) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._said_at >= _LINE_EVERY_SECS:
            self._stage, self._said_at = stage, now
            print(f"{self._label}: {text}", file=sys.stderr, flush=True)


class _Display:
    """The one live display of this process; there while somebody has a row in it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._users = 0
        self._progress: rich.progress.Progress | None = None

    def open(self) -> rich.progress.Progress:
        with self._guard:
            self._users += 1
            if self._progress is None:
                self._progress = _new_progress()
                self._progress.start()
            return self._progress

    def close(self) -> None:
        with self._guard:
            self._users -= 1
            if self._users == 0 and self._progress is not None:
                self._progress.stop()
                self._progress = None


_display = _Display()


def _new_progress() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


class _Bars(ProgressView):
    """A row for the build, and one for the download once it starts."""

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> ProgressView:
        self._progress = _display.open()
        self._build = self._progress.add_task(f"{self._label} build", total=None, note="asked")
        self._download: rich.progress.TaskID | None = None
        return self

    def __exit__(self, *_error: object) -> None:
        _display.close()

    def event(self, event: Event) -> None:
        match event:
            case Accepted(state="queued", ahead=ahead):
                self._update(note=f"queued, {ahead} ahead")
            case Planned(shards=shards, records=records):
                self._update(total=shards, note=f"{records} records")
            case Progress(shards_done=done, shards=shards, records_per_sec=rate):
                self._update(total=shards or None, completed=done, note=f"{rate:.0f} records/s")
            case Ready(records=records, shards=shards):
                self._update(total=shards, completed=shards, note=f"{records} records")
            case Failed(reason=reason):
                self._update(note=f"failed: {reason}")

    def _update(
        self, *, note: str, total: float | None = None, completed: float | None = None
    ) -> None:
        self._progress.update(self._build, total=total, completed=completed, note=note)

    def download(self, done_bytes: int, total_bytes: int) -> None:
        if self._download is None:
            self._download = self._progress.add_task(f"{self._label} download", note="")
        note = f"{done_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB"
        self._progress.update(self._download, total=total_bytes, completed=done_bytes, note=note)
