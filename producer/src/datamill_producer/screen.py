"""One screen of `datamill top`: what the notifier's overview says, as wide as the terminal is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from datamill.table import size
from datamill_producer.gateway import Document
from datamill_producer.moment import local_clock

_WIDE = 100
_NARROW = 64
_SHOWN_OF_ID = 12
_BAR = 20
_NARROW_BAR = 10
_LEAST_ROWS = 3


@dataclass(frozen=True)
class Column:
    """A column: its heading, what it says of a document, and the narrowest screen that has it."""

    heading: str
    from_width: int
    right: bool = False
    takes_the_rest: bool = False


_UNDER_WAY = (
    Column("dataset", 0),
    Column("id", _WIDE),
    Column("shards", 0),
    Column("", _NARROW, right=True),
    Column("records/s", _NARROW, right=True),
    Column("left", 0, right=True),
    Column("waiting", _NARROW, right=True),
    Column("why", _WIDE, takes_the_rest=True),
)
_QUEUED = (
    Column("dataset", 0),
    Column("id", _WIDE),
    Column("waiting", _NARROW, right=True),
    Column("why", 0, takes_the_rest=True),
)
_READY = (
    Column("dataset", 0),
    Column("id", _NARROW),
    Column("at", 0),
    Column("records", _NARROW, right=True),
    Column("size", 0, right=True),
    Column("requests", _WIDE, right=True),
    Column("downloads", _WIDE, right=True),
)
_FAILED = (
    Column("dataset", 0),
    Column("id", _WIDE),
    Column("at", _NARROW),
    Column("reason", 0, takes_the_rest=True),
)


def screen(overview: Document, width: int, height: int, trouble: str | None = None) -> Group:
    """Return what fits; `trouble`: why this is not of now."""
    parts: list[RenderableType] = [_head(overview, trouble)]
    rows = max(_LEAST_ROWS, (height - 14) // 4)
    tables = (
        ("building", _UNDER_WAY, _building),
        ("queued", _QUEUED, _queued),
        ("ready", _READY, _ready),
        ("failed", _FAILED, _failed),
    )
    for name, columns, row in tables:
        documents = overview[name]
        if not documents:
            continue
        shown = documents[:rows]
        parts += [Text(), _title(name, len(documents), len(shown))]
        parts.append(_table(columns, [row(each, width) for each in shown], width))
    builders = [_builder(each) for each in overview["builders"]]
    if builders:
        parts += [Text(), Text("builders", style="bold"), *builders]
    return Group(*parts)


def _head(overview: Document, trouble: str | None) -> Text:
    store = overview["store"]
    held = size(store["bytes"])
    if store["budget_bytes"]:
        share = 100 * store["bytes"] // store["budget_bytes"]
        held += f" of {size(store['budget_bytes'])} ({share} %)"
    workers = sum(each["workers"] for each in overview["builders"] if each["alive"])
    said = [
        f"datamill {local_clock(overview['time'])}",
        f"{len(overview['building'])} building",
        f"{len(overview['queued'])} queued",
        f"{overview['datasets_ready']} ready",
        *([f"{workers} workers"] if workers else []),
        f"store {held}, {size(store['free_bytes'])} free",
        f"{overview['downloads_in_progress']} downloads",
    ]
    head = Text("  ".join(said), style="bold")
    for problem in _problems(overview, trouble):
        head.append(f"\n{problem}", style="bold red")
    return head


def _problems(overview: Document, trouble: str | None) -> Iterator[str]:
    if trouble:
        yield f"{trouble}; what is shown is old"
    if not overview["broker_connected"]:
        yield "the broker is away; what is there is served"
    if overview["trouble"]:
        yield str(overview["trouble"])


def _title(name: str, count: int, shown: int) -> Text:
    title = Text(name, style="bold")
    if shown < count:
        title.append(f", {shown} of {count}", style="dim")
    return title


def _table(columns: Iterable[Column], rows: list[list[str]], width: int) -> Table:
    drawn = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    kept = [(place, c) for place, c in enumerate(columns) if width >= c.from_width]
    for _, column in kept:
        drawn.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column.takes_the_rest else None,
        )
    drawn.expand = any(column.takes_the_rest for _, column in kept)
    for row in rows:
        drawn.add_row(*(escape(row[place]) for place, _ in kept))
    return drawn


def _building(one: Document, width: int) -> list[str]:
    done, shards = one["shards_done"], one["shards"] or 0
    per_sec = one["records_per_sec"]
    return [
        _name(one),
        _id(one),
        _bar(done, shards, _BAR if width >= _WIDE else _NARROW_BAR),
        f"{done}/{shards}",
        "" if per_sec is None else f"{per_sec:,.0f}",
        _duration(one["secs_left"]),
        str(one["waiting"]),
        one["why"] or f"{one['shards_in_hand']} shards in hand",
    ]


def _queued(one: Document, _width: int) -> list[str]:
    return [_name(one), _id(one), str(one["waiting"]), one["why"] or ""]


def _ready(one: Document, _width: int) -> list[str]:
    return [
        _name(one),
        _id(one),
        _clock(one["ended_at"]),
        f"{one['records'] or 0:,}",
        size(one["bytes"]),
        str(one["requests"]),
        str(one.get("downloads", "")),
    ]


def _failed(one: Document, _width: int) -> list[str]:
    reason = f"{one['reason']}: {' '.join(one['message'].split())}"
    return [_name(one), _id(one), _clock(one["ended_at"]), reason]


def _builder(one: Document) -> Text:
    silent = "" if one["alive"] else f", silent since {_clock(one['seen_at'])}"
    text = f"{one['host']}  {one['workers']} workers, version {one['version']}{silent}"
    return Text(text, style="" if one["alive"] else "red")


def _name(one: Document) -> str:
    return f"{one['dataset_name']} {one['handler_version']}"


def _id(one: Document) -> str:
    return str(one["dataset_id"])[:_SHOWN_OF_ID]


def _clock(written: Any) -> str:
    return local_clock(written) if written else ""


def _bar(done: int, total: int, width: int) -> str:
    full = width * done // total if total else 0
    return "#" * full + "." * (width - full)


def _duration(secs: float | None) -> str:
    if secs is None:
        return ""
    minutes, seconds = divmod(round(secs), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
