"""Handlers that do on demand what handlers do wrong. Runs in a handler environment, alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class BadItem(Exception):
    datamill_reason = "bad_data"


class StrangeReason(Exception):
    datamill_reason = "because"


class Trouble:
    """`write_shard([{"do": …, "with": …}])` does it."""

    shard_protocol = 1
    records_per_shard = 4

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        self.config = config
        self.base = base_data_path

    @staticmethod
    def config_options() -> dict[str, Any]:
        return {}

    def as_tfrecord(self) -> list[str]:
        raise NotImplementedError

    def tf_records_mapper(self, files: list[str]) -> Any:
        raise NotImplementedError

    def resolved_config(self) -> dict[str, Any]:
        return {"filled": True, **self.config}

    def plan_items(self, content_key: str) -> Iterator[dict[str, Any]]:
        for number in range(5):
            split = "train" if number % 2 else "validation"
            yield {"key": f"caf\udce9 {number}", "split": split, "records": 2}
        if self.config.get("bad_split"):
            yield {"key": "x", "split": "../evil"}

    def write_shard(
        self, items: list[dict[str, Any]], path: str, content_key: str, progress: Any
    ) -> Any:
        answer: Any = "done"
        for item in items:
            answer = getattr(self, item["do"])(item.get("with"), progress)
        return answer

    # --- what it does ---

    def echo(self, value: Any, _progress: Any) -> Any:
        return value

    def prints(self, text: str, _progress: Any) -> str:
        print(text)
        os.write(1, b"written to descriptor 1\n")
        os.system("echo by a program")
        print("an error line", file=sys.stderr)
        print(json.dumps({"ok": "forged"}))
        return "printed"

    def no_newline(self, megabytes: int, _progress: Any) -> str:
        for _ in range(megabytes):
            sys.stdout.write("x" * 1024 * 1024)
        sys.stdout.flush()
        return "printed"

    def noise(self, _: Any, _progress: Any) -> None:
        """Write into the protocol, as only somebody who looks for it can."""
        for descriptor in Path("/proc/self/fd").iterdir():
            try:
                if str(descriptor.readlink()) == self.config["answers"]:
                    os.write(int(descriptor.name), b"noise\n")
            except OSError:
                continue

    def says_and_dies(self, words: str, _progress: Any) -> None:
        print(words)
        os.kill(os.getpid(), signal.SIGKILL)

    def exits(self, code: Any, _progress: Any) -> None:
        sys.exit(code)

    def exits_at_once(self, code: int, _progress: Any) -> None:
        print("last words", flush=True)
        os._exit(code)

    def kills_itself(self, number: int, _progress: Any) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    def raises(self, text: str, _progress: Any) -> None:
        raise ValueError(text)

    def raises_bad_item(self, text: str, _progress: Any) -> None:
        raise BadItem(text)

    def raises_strangely(self, text: str, _progress: Any) -> None:
        raise StrangeReason(text)

    def recurses(self, depth: int, _progress: Any) -> None:
        self.recurses(depth + 1, None)

    def returns_nonsense(self, _: Any, _progress: Any) -> object:
        return {"records": {1, 2}}

    def loops(self, _: Any, _progress: Any) -> None:
        while True:
            pass

    def eats(self, megabytes: int, _progress: Any) -> str:
        eaten = [b"x" * 1024 * 1024 for _ in range(megabytes)]
        return f"ate {len(eaten)}"

    def sleeps(self, seconds: float, _progress: Any) -> str:
        time.sleep(seconds)
        return "slept"

    def tells(self, numbers: list[int], progress: Any) -> str:
        for number in numbers:
            progress(number)
        return "told"

    def reads_input(self, _: Any, _progress: Any) -> str:
        return repr(sys.stdin.read())

    def program_reads_input(self, _: Any, _progress: Any) -> str:
        return subprocess.run(["cat"], stdout=subprocess.PIPE, check=True).stdout.decode()

    def environment(self, _: Any, _progress: Any) -> dict[str, str]:
        return dict(os.environ)

    def where(self, _: Any, _progress: Any) -> dict[str, Any]:
        return {"cwd": str(Path.cwd()), "pid": os.getpid(), "path": sys.path, "prefix": sys.prefix}

    def starts_child(self, new_session: bool, _progress: Any) -> int:
        return subprocess.Popen(["sleep", "300"], start_new_session=new_session).pid

    def forks_and_dies(self, file: str, _progress: Any) -> None:
        """The forked child keeps every descriptor, the protocol's too."""
        pid = os.fork()
        if pid == 0:
            time.sleep(300)
        Path(file).write_text(str(pid))
        os.kill(os.getpid(), signal.SIGKILL)


class Classic:
    """The classic contract, and not a word more."""

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        if config["size"] == 13:
            raise ValueError("size: 13 brings bad luck")
        self.config = config

    @staticmethod
    def config_options() -> dict[str, Any]:
        return {"size": 8, "share": 0.5, "name": "x", "flip": False, "free": None}

    def as_tfrecord(self) -> Any:
        if self.config["name"] == "nothing":
            return []
        Path("out.tfrecord").write_bytes(b"records")
        return ["out.tfrecord"]

    def tf_records_mapper(self, files: list[str]) -> Any:
        raise NotImplementedError


class NoHandler:
    pass


class Slow(Trouble):
    """Takes for ever to be made, and says when it has begun to be."""

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        Path(base_data_path, "opening").touch()
        time.sleep(3600)
