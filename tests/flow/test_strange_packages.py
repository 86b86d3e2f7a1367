"""Handler packages of strangers: what is wrong with one is said, and the next is built."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datamill_producer.rabbitmq import PrivateNode
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient
from tests.support.strange import BASE, handler
from tests.support.toy import write_items
from tests.support.wheels import make_wheel


@dataclass(frozen=True)
class Case:
    """A package that is wrong, and what is to be said of it. `words`: of the message."""

    source: str
    reason: str
    words: tuple[str, ...]
    target: str = "strange:Handler"


def noise(code: str) -> str:
    return f"import os, sys, time\n{code}\n{BASE}"


RETURNED = "return {{'records': {records}, 'bytes': 0, 'sha256': '{sha256}', 'skipped': {skipped}}}"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def wrote(records: str = "0", sha256: str = EMPTY, skipped: str = "[]") -> str:
    said = RETURNED.format(records=records, sha256=sha256, skipped=skipped)
    return handler(write_shard=f"open(path, 'wb').close()\n{said}")


WRITTEN_EVERYWHERE = """
for descriptor in range(3, 20):
    try:
        os.write(descriptor, b'SAID\\n')
    except OSError:
        pass
"""

CASES = {
    "an entry point to a module that is not there": Case(
        BASE, "handler_error", ("ModuleNotFoundError", "nowhere"), "nowhere:Handler"
    ),
    "an entry point to nothing in the module": Case(
        BASE, "handler_error", ("AttributeError", "Missing"), "strange:Missing"
    ),
    "an entry point without a name": Case(BASE, "handler_error", ("strange",), "strange"),
    "an entry point that is no path": Case(BASE, "handler_error", ("",), "../strange:Handler"),
    "an import error": Case(
        "import does_not_exist\n" + BASE, "handler_error", ("does_not_exist", '.py", line 1')
    ),
    "a syntax error": Case("class Handler(:\n", "handler_error", ("SyntaxError",)),
    "an import that exits": Case(noise("sys.exit(3)"), "handler_error", ("SystemExit", "3")),
    "an import that leaves": Case(noise("os._exit(3)"), "handler_error", ("code 3",)),
    "an import that dies": Case(noise("os.kill(os.getpid(), 9)"), "handler_error", ("SIGKILL",)),
    "an import that reads what is said": Case(
        noise("sys.stdin.read(); raise RuntimeError('read')"), "handler_error", ("RuntimeError",)
    ),
    "wrong names of methods": Case(
        "class Handler:\n    def records(self): ...\n",
        "handler_error",
        ("config_options", "as_tfrecord", "tf_records_mapper"),
    ),
    "no class": Case("Handler = 5\n", "handler_error", ("no handler",)),
    "a constructor with other arguments": Case(
        handler().replace("self, config, base_data_path", "self"), "handler_error", ("TypeError",)
    ),
    "noise in the protocol": Case(
        noise(WRITTEN_EVERYWHERE.replace("SAID", "hello")),
        "handler_error",
        ("something else than answers",),
    ),
    "a forged answer in the protocol": Case(
        noise(WRITTEN_EVERYWHERE.replace("SAID", '{"ok": 5}')),
        "handler_error",
        ("resolved_config",),
    ),
    "a config that is a list": Case(
        handler(resolved_config="return [1]"), "handler_error", ("resolved_config",)
    ),
    "NaN in the config": Case(
        handler(resolved_config="return {'a': float('nan')}"), "handler_error", ("resolved_config",)
    ),
    "a config that is no JSON": Case(
        handler(resolved_config="return {'a': {1, 2}}"), "handler_error", ("JSON",)
    ),
    "a config of 10 MB": Case(
        handler(resolved_config="return {'a': 'x' * 10**7}"), "handler_error", ("resolved_config",)
    ),
    "a lone surrogate in the config": Case(
        handler(resolved_config="return {'a': '\\ud800'}"), "handler_error", ("resolved_config",)
    ),
    "a share of bad items that is none": Case(
        handler(resolved_config="return {'max_bad_share': 'all'}"),
        "handler_error",
        ("max_bad_share",),
    ),
    "features that are none": Case(
        handler(feature_spec="return 'everything'"), "handler_error", ("feature_spec",)
    ),
    "features that tfds can't read": Case(
        handler(feature_spec="return {'features': 5}"), "handler_error", ("feature_spec",)
    ),
    "a plan of None": Case(handler(plan_items="return None"), "handler_error", ("TypeError",)),
    "a plan of nothing": Case(handler(plan_items="return []"), "bad_data", ("no source items",)),
    "an item without a key": Case(
        handler(plan_items="return [{'split': 'train'}]"), "handler_error", ("plan_items", "key")
    ),
    "an item without a split": Case(
        handler(plan_items="return [{'key': '1'}]"), "handler_error", ("plan_items", "split")
    ),
    "items that are no objects": Case(
        handler(plan_items="return ['a', 'b']"), "handler_error", ("plan_items",)
    ),
    "negative records": Case(
        handler(plan_items="return [{'key': '1', 'split': 'train', 'records': -5}]"),
        "handler_error",
        ("plan_items", "records"),
    ),
    "a split that is a path": Case(
        handler(plan_items="return [{'key': '1', 'split': '../../x'}]"), "handler_error", ("split",)
    ),
    "an item with NaN": Case(
        handler(plan_items="return [{'key': '1', 'split': 'train', 'x': float('nan')}]"),
        "handler_error",
        ("plan_items",),
    ),
    "a shard of None": Case(handler(write_shard="return None"), "handler_error", ("write_shard",)),
    "a shard that is not there": Case(
        handler(write_shard=RETURNED.format(records=0, sha256=EMPTY, skipped="[]")),
        "handler_error",
        ("write_shard", "no file"),
    ),
    "a digest that lies": Case(wrote(sha256="0" * 64), "handler_error", ("write_shard", "digest")),
    "records that are negative": Case(
        wrote(records="-1"), "handler_error", ("write_shard", "records")
    ),
    "records that are text": Case(
        wrote(records="'many'"), "handler_error", ("write_shard", "records")
    ),
    "records that lie": Case(wrote(records="1000000"), "handler_error", ("write_shard", "records")),
    "skipped items that are none": Case(
        wrote(skipped="'all'"), "handler_error", ("write_shard", "skipped")
    ),
    "skipped items without a reason": Case(
        wrote(skipped="[{'key': '1'}]"), "handler_error", ("write_shard", "skipped")
    ),
    "a shard that is no JSON": Case(
        handler(write_shard="return {'records': object()}"), "handler_error", ("JSON",)
    ),
}


NAMES = {title: f"strange{number}" for number, title in enumerate(CASES)}
NOISY = noise("print('x' * 100_000 * 20); os.write(1, b'y' * 1_000_000)")
HANGS = noise("print('hanging', flush=True); time.sleep(600)")
OTHERS = ["noisy", "hangs", "pointless", "liar", "nozip", "needy"]


def make_wheels(wheels: Path) -> None:
    """One package with all the handlers, since an environment takes a while; and odd wheels."""
    modules, points = {}, {}
    for title, case in CASES.items():
        name = NAMES[title]
        modules[f"{name}.py"] = case.source
        points[name] = case.target.replace("strange", name)
    modules |= {"noisy.py": NOISY, "hangs.py": HANGS}
    points |= {"noisy": "noisy:Handler", "hangs": "hangs:Handler"}
    make_wheel(wheels, "strange-handlers", "1.0.0", modules, points)
    make_wheel(wheels, "pointless", "1.0.0", {"pointless.py": BASE}, {})
    liar = make_wheel(wheels, "liar", "2.0.0", {"liar.py": BASE}, {"liar": "liar:Handler"})
    liar.rename(wheels / "liar-1.0.0-py3-none-any.whl")
    (wheels / "nozip-1.0.0-py3-none-any.whl").write_bytes(b"no zip at all")
    needy = ("strange-handlers>=7",)
    make_wheel(wheels, "needy", "1.0.0", {"needy.py": BASE}, {"needy": "needy:Handler"}, needy)


@dataclass(frozen=True)
class Answers:
    """What a builder answered, by handler, and what it logged."""

    events: dict[str, dict[str, Any]]
    log: str

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.events[name]


@pytest.fixture(scope="module")
def answers(
    node: PrivateNode, prepared_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Answers]:
    """What a builder answers when all of them are asked for, and a good one after them."""
    home = tmp_path_factory.mktemp("strange") / "home"
    shutil.copytree(prepared_home, home, symlinks=True)
    write_items(home / "raw", ["item"])
    make_wheels(home / "wheels")
    names = [*NAMES.values(), *OTHERS]
    for name in names:
        (home / "raw" / name).mkdir()
    vhost = f"test-{uuid.uuid4().hex[:12]}"
    url = node.add_vhost(vhost)
    builder = BuilderProcess(
        home,
        url,
        DATAMILL_OPEN_TIMEOUT_SECS="8",
        DATAMILL_SHARD_ATTEMPTS="1",
        UV_OFFLINE="1",
    ).start()
    client = PlainClient(url)
    try:
        asked = {name: client.ask(name) for name in names}
        events = {name: client.wait(asked[name], timeout_secs=120) for name in names}
        events["toy"] = client.wait(client.ask("toy"))
        assert builder.process is not None and builder.process.poll() is None
        yield Answers(events, builder.log())
        assert builder.stop() == 0
    finally:
        client.close()
        builder.stop()
        node.delete_vhost(vhost)


@pytest.mark.parametrize("title", CASES)
def test_what_is_wrong_with_a_handler_is_said(answers: Answers, title: str) -> None:
    answer, case = answers[NAMES[title]], CASES[title]
    assert (answer["event"], answer.get("reason")) == ("failed", case.reason), answer
    for word in case.words:
        assert word in answer["message"], answer["message"]
    assert len(answer["message"]) < 8000


def test_the_builder_goes_on(answers: Answers) -> None:
    assert answers["toy"]["event"] == "ready"
    assert "not foreseen" not in answers.log


def test_a_handler_that_prints_megabytes_works(answers: Answers) -> None:
    assert answers["noisy"]["event"] == "ready"


def test_an_import_that_hangs_is_ended(answers: Answers) -> None:
    failed = answers["hangs"]
    assert (failed["reason"], failed["retryable"]) == ("timeout", True)
    assert "within 8 s" in failed["message"]


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("pointless", "unknown_handler", ["no handler pointless"]),
        ("liar", "unknown_handler", ["liar-1.0.0", "liar 2.0.0"]),
        ("nozip", "unknown_handler", ["nozip-1.0.0", "can't be read as a wheel"]),
        ("needy", "handler_error", ["could not be resolved", "strange-handlers"]),
    ],
)
def test_wheels_that_are_none(answers: Answers, name: str, reason: str, words: list[str]) -> None:
    failed = answers[name]
    assert failed["reason"] == reason, failed
    for word in words:
        assert word in failed["message"]
