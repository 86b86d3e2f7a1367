"""The same meaning in other spellings (30), and names that are none (31)."""

from __future__ import annotations

import hashlib
import json
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from pika.exceptions import ShortStringTooLong
from sqlalchemy import func, select

import datamill
from datamill.errors import DecodeError, InvalidRequest
from datamill.request import Request
from datamill_builder.catalog import schema
from tests.support.builder import BuilderProcess, Start
from tests.support.fault import Fault
from tests.support.listener import Connect, PlainClient
from tests.support.wheels import make_wheel

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "contract" / "dataset_ids.json"


@pytest.mark.fault(30, "requests spelled in other ways: the published ids")
def test_the_published_ids(fault: Fault) -> None:
    if not GOLDEN.exists():
        pytest.skip("needs ../shared/contract/dataset_ids.json, which is no part of the repository")
    vectors = json.loads(GOLDEN.read_text(encoding="utf-8"))
    fault.injected()
    for vector in vectors["valid"]:
        body = json.dumps(vector["request"]).encode()
        assert Request.decode(body).dataset_id == vector["dataset_id"], vector
        assert Request.decode(body).canonical.decode() == vector["canonical"]
    for vector in vectors["invalid"]:
        with pytest.raises(DecodeError):
            Request.decode(json.dumps(vector["request"]).encode())
    fault.recovered()
    counts = f"{len(vectors['valid'])} published ids met, {len(vectors['invalid'])}"
    fault.saw(f"{counts} invalid requests refused")


# The rule: RFC 8785. Order of keys, white space, escapes and the spelling of a number don't count;
# text counts as it is: composed and decomposed letters are different texts.
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
SAME = [
    '{"dataset_name":"toy","handler_version":"1.0.0","dataset_config":{"repeat":1,"prefix":"é"}}',
    '{"dataset_config":{"prefix":"é","repeat":1},"handler_version":"1.0.0","dataset_name":"toy"}',
    ' {\n\t"dataset_name" : "toy",\r\n "handler_version":"1.0.0",'
    ' "dataset_config":{"repeat": 1.0, "prefix":"é" } } ',
    r'{"dataset_name":"toy","handler_version":"\u0031.0.0",'
    r'"dataset_config":{"repeat":10e-1,"prefix":"\u00E9"}}',
]


@pytest.mark.fault(30, "requests spelled in other ways: order, white space, numbers, letters")
def test_spellings_of_one_request_share_one_id(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    builder = start_builder(home)
    trainer = client()
    (dataset_id,) = {Request.decode(text.encode()).dataset_id for text in SAME}
    fault.injected()
    for text in SAME:
        trainer.send(text.encode())
    trainer.asked.append(dataset_id)
    ready = trainer.wait(dataset_id)
    _until_logged(builder, len(SAME))
    other = trainer.ask("toy", config={"repeat": 1, "prefix": DECOMPOSED})
    other_ready = trainer.wait(other)
    secs = fault.recovered()
    assert ready["event"] == other_ready["event"] == "ready"
    assert other != dataset_id and other_ready["content_key"] != ready["content_key"]
    with builder.catalog.read() as connection:
        assert connection.scalar(select(func.count(schema.datasets.c.dataset_id))) == 2
        assert connection.scalar(select(func.count(schema.builds.c.content_key))) == 2
    fault.watch(builder, trainer)
    fault.saw(f"{len(SAME)} spellings are one id; composed and decomposed é are two, {secs:.1f} s")


@pytest.mark.fault(30, "a request with a field that there is not")
def test_an_unknown_field_is_refused(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    builder = start_builder(home)
    trainer = client()
    request = {"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {}}
    fault.injected()
    trainer.send(json.dumps({**request, "priority": 9}).encode())
    failed = trainer.wait(Request.of(**request).dataset_id)
    secs = fault.recovered()
    assert failed["reason"] == "invalid_request"
    assert "priority is not a field of a request" in failed["message"]
    assert trainer.wait(trainer.ask("toy"), "ready")["event"] == "ready", "as rightly asked"
    fault.watch(builder, trainer)
    fault.saw(f"failed, invalid_request, which names the field, after {secs * 1000:.0f} ms")


def _until_logged(builder: BuilderProcess, count: int) -> None:
    catalog = builder.catalog
    deadline = time.monotonic() + 30
    logged = -1
    while logged != count:
        assert time.monotonic() < deadline, logged
        with catalog.read() as connection:
            logged = connection.scalar(select(func.count(schema.requests.c.message_id))) or 0
    catalog.close()


# --- names ---

TRAP = "import pathlib; pathlib.Path(__file__).with_name('imported').touch()\n"
NAMES: list[tuple[str, str, str]] = [
    ("toy", "9.9.9", "unknown_handler"),
    ("nothing", "1.0.0", "unknown_dataset"),
    ("toy", "../../x", "invalid_request"),
    ("toy", "..", "invalid_request"),
    ("toy", "; rm -rf", "invalid_request"),
    ("toy", "$(touch x)", "invalid_request"),
    ("toy", "--index-url", "invalid_request"),
    ("toy", "1.0.0\n", "invalid_request"),
    ("toy", "1" * 300, "invalid_request"),
    ("../../x", "1.0.0", "invalid_request"),
    ("toy/../toy", "1.0.0", "invalid_request"),
    ("..", "1.0.0", "invalid_request"),
    ("; rm -rf", "1.0.0", "invalid_request"),
    ("a" * 200, "1.0.0", "invalid_request"),
    ("tóy", "1.0.0", "invalid_request"),
    ("玩具", "1.0.0", "invalid_request"),
    ("t\u043ey", "1.0.0", "invalid_request"),  # Cyrillic in the middle
]


@pytest.mark.fault(31, "handlers, versions and names that there are not, or that attack")
def test_names_that_are_none(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    for name, version in (("x", "1.0.0"), ("toy", "9.9.9")):
        # Beside the sources, where a path made of a name would lead.
        make_wheel(home / "traps", name, version, {f"{name}.py": TRAP}, {name: f"{name}:X"})
    builder = start_builder(home)
    trainer = client()
    before = _tree(home)
    fault.injected()
    slowest = 0.0
    for name, version, reason in NAMES:
        began = time.monotonic()
        failed = trainer.wait(trainer.ask(name, version))
        slowest = max(slowest, time.monotonic() - began)
        assert (failed["event"], failed["reason"]) == ("failed", reason), (name, version, failed)
        assert len(failed["message"].splitlines()) == 1
    fault.recovered()
    assert _tree(home) == before, "no folder was made, nothing imported, nothing removed"
    assert "writing" not in builder.log(), "no handler ran"
    with builder.catalog.read() as connection:
        assert connection.scalar(select(func.count(schema.builds.c.content_key))) == 0
        assert connection.scalar(select(func.count(schema.environments.c.release))) == 1
    fault.watch(builder, trainer)
    fault.saw(
        f"{len(NAMES)} refused with a reason, nothing imported, no file made, {slowest:.1f} s"
    )


@pytest.mark.fault(31, "a name of 300 characters")
def test_a_name_that_fits_into_no_routing_key(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    builder = start_builder(home)
    trainer = client()
    name = "a" * 300
    fault.injected()
    with pytest.raises(InvalidRequest, match="dataset_name"):
        datamill.request_dataset(name, "1.0.0", {})
    with pytest.raises(ShortStringTooLong):
        trainer.ask(name)
    # Under another key it does get to the builder.
    request: dict[str, Any] = {
        "dataset_name": name, "handler_version": "1.0.0", "dataset_config": {}
    }  # fmt: skip
    failed = _answer(trainer, request)
    secs = fault.recovered()
    assert failed["reason"] == "invalid_request" and "dataset_name" in failed["message"]
    assert len(failed["message"]) < 300
    assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
    fault.watch(builder, trainer)
    fault.saw(f"refused by the client, by the protocol, and by intake after {secs * 1000:.0f} ms")


def _answer(trainer: PlainClient, request: dict[str, Any]) -> dict[str, Any]:
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":")).encode()
    trainer.send(canonical)
    return trainer.wait(hashlib.sha256(canonical).hexdigest())


def _tree(home: Path) -> set[str]:
    """Return every file and folder, but for those that change by themselves."""
    return {
        str(path.relative_to(home))
        for path in home.rglob("*")
        if not path.name.startswith("catalog.sqlite") and "resolve-" not in path.name
    }
