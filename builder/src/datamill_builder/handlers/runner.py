"""Runs one handler in its own environment; speaks protocol 1 with the builder.

This file is given to the environment's Python by its path and uses the standard library alone,
so that a handler package needs to know nothing of Datamill.

Protocol 1: a JSON object per line. The builder writes commands to standard input, one at a time;
answers go to a copy of standard output, while file descriptor 1 itself is turned to standard
error, so that a handler may print what it likes, and standard input to nothing, so that what a
handler starts may read theirs. Every command gets one answer, `{"ok": …}` or
`{"error": {"reason", "message", "traceback", "errno"}}`; `shard` and `classic` may send
`{"progress": n}` before it. A handler that gets no more memory has the reason `out_of_memory`; an
argument of this program says how many bytes that is. When standard input ends, so does this
process with all that it started, whatever it is doing.

| command | gives |
| --- | --- |
| `load` entry_point | imports the handler, so that `open` finds it there |
| `describe` entry_point | mode, options, and what it reads, as far as the handler says so |
| `open` entry_point, config, raw_root, raw | mode (`sharded` or `classic`), resolved config, raw |
| `features` | `{"features", "labels"}`, or null where the handler does not say |
| `plan` content_key, folder | per split, the items and records of `<folder>/<split>.jsonl` |
| `shard` content_key, items, path | records, bytes, sha256, skipped |
| `classic` | the paths that `as_tfrecord` returned |
"""

from __future__ import annotations

import difflib
import errno
import importlib
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

PROTOCOL = 1
PROGRESS_SECS = 0.2
"""How often progress is told at most: a line per record would cost more than it says."""
NICENESS = 10
"""Handlers take what is left of the processors: a request should be answered at once meanwhile."""
MAX_TRACEBACK = 64 * 1024

_ANSWERED_BY = {
    "describe": "describe_options()",
    "open": "resolved_config()",
    "features": "feature_spec()",
    "shard": "write_shard()",
    "classic": "as_tfrecord()",
}
"""Which method of the handler a command's answer comes from."""


_KINDS: dict[type, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("number", (int, float)),
    float: ("number", (int, float)),
    str: ("text", (str,)),
    list: ("list", (list,)),
    dict: ("object", (dict,)),
}
"""What is taken for an option whose default has this type, in words and as types."""
_ANYTHING: tuple[str, tuple[type, ...]] = ("anything", ())


class Refused(Exception):
    """The command can't be carried out; `datamill_reason` says whose fault it is."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.datamill_reason = reason


class Runner:
    """The commands, one method each."""

    def __init__(self, answer: Callable[[dict[str, Any]], None]) -> None:
        self._answer = answer
        self._handler: Any = None
        self._told_at = 0.0

    def load(self, entry_point: str) -> None:
        """Import the handler's class."""
        _load(entry_point)

    def describe(self, entry_point: str) -> dict[str, Any]:
        """Say what a handler is, without a config and without raw data."""
        handler_class = _load(entry_point)
        describe = getattr(handler_class, "describe_options", None)
        return {
            "mode": _mode(handler_class),
            "layout": getattr(handler_class, "layout", None),
            "raw": getattr(handler_class, "raw_folder", None),
            "options": describe() if describe else _described_classic(handler_class),
        }

    def open(
        self,
        entry_point: str,
        config: dict[str, Any],
        raw_root: str,
        raw: str | None,
        dataset_name: str,
    ) -> dict[str, Any]:
        """Load the handler's class and make it, its config checked.

        Its raw data is the folder that the settings name, or that it names itself, or the one
        with the dataset's name.
        """
        handler_class = _load(entry_point)
        raw = raw or getattr(handler_class, "raw_folder", None) or dataset_name
        base_data_path = Path(raw_root, raw)
        if not base_data_path.is_dir():
            raise Refused("unknown_dataset", _no_raw_data(dataset_name, raw_root, raw))
        if _mode(handler_class) == "sharded":
            self._handler = handler_class(config, str(base_data_path))
            return {
                "mode": "sharded",
                "config": self._handler.resolved_config(),
                "records_per_shard": int(getattr(self._handler, "records_per_shard", 256)),
                "raw": raw,
            }
        resolved = _resolve_classic(handler_class, config)
        try:
            self._handler = handler_class(dict(resolved), str(base_data_path))
        except (ValueError, TypeError, KeyError) as error:
            raise Refused("invalid_config", f"{type(error).__name__}: {error}") from error
        return {"mode": "classic", "config": resolved, "records_per_shard": 0, "raw": raw}

    def features(self) -> Any:
        """Say what a record holds."""
        say = getattr(self._handler, "feature_spec", None)
        return say() if say else None

    def plan(self, content_key: str, folder: str) -> dict[str, dict[str, int]]:
        """Write the source items, in their order, one file per split.

        A handler may do so itself (`write_plan`): a million dicts, made to be written, take long.
        """
        write_plan = getattr(self._handler, "write_plan", None)
        if write_plan is not None:
            return dict(write_plan(content_key, folder))
        files: dict[str, TextIO] = {}
        counts: dict[str, dict[str, int]] = {}
        try:
            for item in self._handler.plan_items(content_key):
                _check_item(item)
                split = item["split"]
                if split not in files:
                    path = Path(folder, _safe_name(split) + ".jsonl")
                    files[split] = path.open("w", encoding="utf-8")
                    counts[split] = {"items": 0, "records": 0}
                files[split].write(_as_json("plan_items()", item, sort_keys=True) + "\n")
                counts[split]["items"] += 1
                counts[split]["records"] += item.get("records", 1)
        finally:
            for file in files.values():
                file.close()
        return counts

    def shard(self, content_key: str, items: list[dict[str, Any]], path: str) -> Any:
        """Write one shard."""
        self._told_at = 0.0
        return self._handler.write_shard(items, path, content_key, self._progress)

    def classic(self) -> list[str]:
        """Let the handler write everything; return where."""
        paths = self._handler.as_tfrecord()
        if not isinstance(paths, (list, tuple)) or not paths:
            raise Refused("handler_error", "as_tfrecord() returned no list of paths")
        return [str(Path(path).absolute()) for path in paths]

    def _progress(self, records: int) -> None:
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_SECS:
            self._told_at = now
            self._answer({"progress": records})


def _load(entry_point: str) -> Any:
    module_name, _, name = entry_point.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        found = getattr(found, part)
    missing = [
        method
        for method in ("config_options", "as_tfrecord", "tf_records_mapper")
        if not callable(getattr(found, method, None))
    ]
    if missing:
        raise Refused(
            "handler_error", f"{entry_point} is no handler: it lacks {', '.join(missing)}"
        )
    return found


def _mode(handler_class: Any) -> str:
    sharded = getattr(handler_class, "shard_protocol", None) == PROTOCOL
    return "sharded" if sharded else "classic"


def _no_raw_data(dataset_name: str, raw_root: str, raw: str) -> str:
    try:
        there = sorted(entry.name for entry in os.scandir(raw_root) if entry.is_dir())
    except OSError:
        there = []
    listed = ", ".join(there[:20]) or "none"
    return (
        f"dataset {dataset_name} has no raw data: no folder {raw} in the raw root; "
        f"there are: {listed}"
    )


def _classic_options(handler_class: Any) -> dict[str, Any]:
    options = handler_class.config_options()
    if not isinstance(options, dict):
        raise Refused("handler_error", "config_options() returned no dict of options and defaults")
    return options


def _described_classic(handler_class: Any) -> list[dict[str, Any]]:
    """Say of options what their defaults tell."""
    return [
        {
            "name": name,
            "type": _KINDS.get(type(default), _ANYTHING)[0],
            "default": default,
        }
        for name, default in _classic_options(handler_class).items()
    ]


def _resolve_classic(handler_class: Any, config: dict[str, Any]) -> dict[str, Any]:
    options = _classic_options(handler_class)
    for name, value in config.items():
        if name not in options:
            close = difflib.get_close_matches(name, options, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise Refused(
                "invalid_config",
                f"{name} (= {json.dumps(value)[:80]}) is not an option of this handler; {hint}"
                f"it knows: {', '.join(sorted(options)) or 'none'}",
            )
        _check_type(name, value, options[name])
    resolved: dict[str, Any] = json.loads(json.dumps({**options, **config}))
    return resolved


def _check_type(name: str, value: Any, default: Any) -> None:
    """Refuse text for a number and the like, as far as the default tells what is meant."""
    _, allowed = _KINDS.get(type(default), _ANYTHING)
    if not allowed or value is None:
        return
    wrong_bool = isinstance(value, bool) and bool not in allowed
    if wrong_bool or not isinstance(value, allowed):
        kind = type(default).__name__
        raise Refused(
            "invalid_config",
            f"{name}: {json.dumps(value)[:80]} is not allowed, its default "
            f"{json.dumps(default)[:80]} is of type {kind}",
        )


def _check_item(item: Any) -> None:
    """Refuse an item that lacks what a builder needs: a key, a split, how many records."""
    if not isinstance(item, dict):
        raise Refused("handler_error", f"plan_items() gave {item!r:.80}, which is no dict")
    for name in ("key", "split"):
        if not isinstance(item.get(name), str):
            raise Refused("handler_error", f"plan_items() gave {item!r:.80}: its {name} is no text")
    records = item.get("records", 1)
    if isinstance(records, bool) or not isinstance(records, int) or records < 0:
        raise Refused("handler_error", f"plan_items() gave {item!r:.80}: its records are no number")


def _as_json(method: str, value: Any, **how: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, **how)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{method} returned what JSON can't hold: {error}"
        raise Refused("handler_error", message) from error


def _safe_name(split: str) -> str:
    if not (split.isascii() and split.replace("_", "").isalnum() and len(split) <= 64):
        raise Refused("handler_error", f"{split!r:.80} is no name for a split")
    return split


def _describe(error: BaseException) -> dict[str, Any]:
    text = str(error).strip()
    message = text.splitlines()[0] if text else type(error).__name__
    reason = getattr(error, "datamill_reason", "handler_error")
    if _is_lack_of_memory(error):
        return {"reason": "out_of_memory", "message": message[:2000], "traceback": _trace()}
    if reason == "handler_error" and not isinstance(error, Refused):
        message = f"{type(error).__name__}: {message}"
    # Where this file refuses something is of no use to anybody.
    trace = "" if isinstance(error, Refused) else _trace()
    number = _errno(error)
    return {"reason": reason, "message": message[:2000], "traceback": trace, "errno": number}


def _errno(error: BaseException | None) -> int | None:
    """Return the number of the operating system's error that is the cause, if one is."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__  # what was merely being handled is no cause
    return None


def _trace() -> str:
    return traceback.format_exc()[-MAX_TRACEBACK:]


def _is_lack_of_memory(error: BaseException) -> bool:
    """Return whether Python, NumPy, the system or OpenCV (whose code is -4) had no memory."""
    opencv = type(error).__module__ == "cv2" and getattr(error, "code", None) == -4
    system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or opencv or system


def _limit_memory(limit_bytes: int) -> None:
    """Limit what this process, and each that it starts, may have of its own.

    Its data, not its address space: that holds the libraries too, which all processes share, and
    gigabytes that TensorFlow only reserves. Linux counts all private memory that can be written.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _commands(source: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield commands; a thread watches their source, to notice its end at any moment."""
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in source:
            inbox.put(line)
        _leave()

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(inbox.get())


def _leave() -> None:
    """End this process, and what it started where it leads a session of its own."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def main() -> None:
    """Serve commands until standard input ends."""
    if len(sys.argv) > 1:
        _limit_memory(int(sys.argv[1]))
    os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    commands = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    lock = threading.Lock()

    def answer(document: dict[str, Any], method: str = "the handler") -> None:
        line = _as_json(method, document)
        with lock:
            answers.write(line + "\n")
            answers.flush()

    runner = Runner(answer)
    answer({"ok": {"protocol": PROTOCOL}})
    for command in _commands(commands):
        name = command.pop("command")
        try:
            answer({"ok": getattr(runner, name)(**command)}, _ANSWERED_BY.get(name, name))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a handler may raise
            told = _describe(error)
            answer({"error": told})
            if told["reason"] == "handler_error":
                traceback.print_exc()
        sys.stdout.flush()


if __name__ == "__main__":
    main()
