"""Everything about one dataset, as text for people."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from datamill.table import size, table
from datamill_producer.gateway import Document
from datamill_producer.moment import local_time

_SHOWN_OF_DIGEST = 12
_MOST_SHARDS = 20
_MOST_SKIPPED = 20
_COLUMNS = 96


def dataset_text(details: Document) -> str:
    """Return what `GET /datasets/<id>/details` says, section by section."""
    parts = [table(list(_head(details)))]
    for title, lines in _sections(details):
        if lines:
            parts.append("\n".join([title, *(f"  {line}" for line in lines)]))
    return "\n\n".join(parts)


def state_text(document: Document) -> str:
    """Return the state of a dataset with how far it is."""
    if not document["shards"]:
        return str(document["state"])
    return (
        f"{document['state']}, {document['shards_done']} of {document['shards']} shards, "
        f"{document['records_done']} records"
    )


def _head(details: Document) -> Iterator[tuple[str, Any]]:
    times = details["times"]
    yield "dataset", details["dataset_id"]
    yield "name", f"{details['dataset_name']} {details['handler_version']}"
    yield "state", state_text(details)
    if note := details.get("note"):
        yield "note", note
    if failed := details["failed"]:
        yield "reason", f"{failed['reason']}: {failed['message']}"
    if near := details.get("near"):
        yield "near", near["text"]
    if details["content_key"]:
        yield "content", details["content_key"]
    for number, alias in enumerate(details["aliases"]):
        yield ("" if number else "also as"), alias
    if ready := details["ready"]:
        yield "archive", f"{ready['archive']}, {size(ready['bytes'])}"
        yield "sha256", ready["sha256"]
    if times["build_secs"] is not None:
        work = times["shard_secs"]
        yield "built in", f"{times['build_secs']} s" + (f", {work} s of work" if work else "")
    yield "asked for", _often(details["requests"], times["asked_first_at"], times["asked_last_at"])
    if details["waiting"]:
        yield "waiting", details["waiting"]
    sent = f", {size(details['downloaded_bytes'])}" if details["downloads"] else ""
    yield "downloads", f"{details['downloads']}{sent}, last use {local_time(details['used_at'])}"
    yield "pinned", f"since {local_time(details['pinned_at'])}" if details["pinned_at"] else "no"


def _often(count: int, first: str | None, last: str | None) -> str:
    times = "once" if count == 1 else f"{count} times, last {local_time(last)}, first"
    return f"{times} {local_time(first)}"


def _sections(details: Document) -> Iterator[tuple[str, list[str]]]:
    options = details["options"]
    if options is None:
        yield "config, as it was asked for", [json.dumps(details["dataset_config"])]
    else:
        yield "config", _lines([_option(each) for each in options])
    yield "made with", list(_provenance(details["provenance"]))
    yield "splits", _splits(details["splits"])
    yield "shards", _shards(details["shard_list"])
    yield f"skipped source items: {details['skipped']['count']}", _skipped(details["skipped"])
    yield "links", _lines(list(details["links"].items()))
    yield "Python", details["python"].splitlines()


def _option(option: Document) -> tuple[str, str, str]:
    mark = "" if option["given"] else "default"
    if option["given"] and "default" in option:
        default = json.dumps(option["default"])
        mark = f"default {default}" if option["changed"] else "given, is the default"
    return option["name"], json.dumps(option["value"], ensure_ascii=False), mark


def _provenance(made: Document | None) -> Iterator[str]:
    if made is None:
        return
    package = f"{made['package']} {made['package_version']}"
    yield f"handler   {made['handler']} of {package}, {made['origin']}"
    yield f"wheel     {made['wheel']}, sha256 {_short(made['wheel_sha256'])}"
    yield f"raw data  {made['raw']}, version {_short(made['raw_version'])}"
    if made["interpreter"]:
        yield f"Python    {made['interpreter']}"
    pinned = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    if pinned:
        wrapped = textwrap.wrap(pinned, _COLUMNS - 10, break_long_words=False)
        yield f"packages  {wrapped[0]}"
        yield from (f"          {line}" for line in wrapped[1:])


def _splits(splits: list[Document]) -> list[str]:
    rows = [
        (
            each["split"],
            f"{each['records']} records",
            f"{each['shards_done']}/{each['shards']} shards",
            size(each["bytes"]),
        )
        for each in splits
    ]
    return _lines(rows)


def _shards(shards: list[Document]) -> list[str]:
    shown = shards[:_MOST_SHARDS]
    rows = [
        (
            each["index"],
            each["split"],
            f"{each['records']} records",
            size(each["bytes"]),
            f"sha256 {_short(each['sha256'])}",
        )
        for each in shown
    ]
    return _lines(rows) + _rest(len(shards) - len(shown))


def _skipped(skipped: Document) -> list[str]:
    shown = skipped["items"][:_MOST_SKIPPED]
    lines = _lines([(item["key"], item["reason"]) for item in shown])
    return lines + _rest(skipped["count"] - len(shown))


def _rest(count: int) -> list[str]:
    return [f"and {count} more: --json, or its manifest"] if count > 0 else []


def _lines(rows: Sequence[Sequence[Any]]) -> list[str]:
    return table(rows).splitlines() if rows else []


def _short(digest: str | None) -> str:
    return (digest or "")[:_SHOWN_OF_DIGEST]
