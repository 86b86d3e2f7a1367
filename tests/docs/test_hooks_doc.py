"""docs/hooks.md: its receiver verifies, its command tells, its tables say what is so."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill.hook_settings import HookSettings
from datamill.settings import load_settings
from datamill_builder.hooks.command import Command
from datamill_builder.hooks.message import Message, trial
from datamill_builder.hooks.retrying import PAUSES_SECS
from datamill_builder.hooks.webhook import Webhook
from datamill_producer.rabbitmq.ports import kept_ports
from tests.support.eventually import eventually
from tests.support.hook_server import HookServer

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
_SECS = {"s": 1, "min": 60, "h": 3600}


def snippet(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HookSettings, ...]]:
    """Those of the first example."""
    for name in list(os.environ):
        if name.startswith("DATAMILL_"):
            monkeypatch.delenv(name)
    (tmp_path / "datamill.toml").write_text(snippet("toml"))
    yield load_settings(home=str(tmp_path)).hooks


def test_settings_are_the_ones_there_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", TEXT, re.MULTILINE)
    assert [name for name, _ in rows] == list(HookSettings.model_fields)
    assert dict(rows)["timeout_secs"] == f"{HookSettings.model_fields['timeout_secs'].default:g}"


def test_the_table_of_pauses_is_what_is_done() -> None:
    written = re.findall(r"^\| (\d+) \|(?: (\d+) (s|min|h) \|)?", TEXT, re.MULTILINE)
    assert [int(number) for number, *_ in written] == list(range(1, len(PAUSES_SECS) + 2))
    assert [int(count) * _SECS[unit] for _, count, unit in written[1:]] == list(PAUSES_SECS)


def test_the_receiver_takes_what_is_signed_and_nothing_else(
    hooks: tuple[HookSettings, ...], tmp_path: Path
) -> None:
    scheduler, _ = hooks
    assert scheduler.secret is not None
    source = snippet("python")
    assert len([line for line in source.splitlines() if line]) <= 20
    port = kept_ports(tmp_path / "ports.json", ["receiver"])["receiver"]
    environment = os.environ | {
        "WEBHOOK_SECRET": scheduler.secret.get_secret_value(),
        "PORT": str(port),
    }
    with subprocess.Popen(
        [sys.executable, "-c", source],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as receiver:
        try:
            url = f"http://127.0.0.1:{port}/"
            signed = Webhook(HookSettings(url=url, secret=scheduler.secret))  # type: ignore[arg-type]
            eventually(lambda: signed.tell(trial()).done, 20)
            assert receiver.stdout is not None
            said = receiver.stdout.readline()
            assert said == "test test a test by `datamill hooks test`: nothing has happened\n"
            other = "whsec_" + "B" * 43 + "="
            for wrong in (HookSettings(url=url), HookSettings(url=url, secret=other)):  # type: ignore[arg-type]
                assert Webhook(wrong).tell(trial()).says.startswith("401 ")
        finally:
            receiver.kill()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_command_tells_a_chat(
    hooks: tuple[HookSettings, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "tell-chat"
    script.write_text(snippet("sh"))
    script.chmod(0o755)
    _, chat = hooks
    with HookServer() as server:
        (tmp_path / "chat").write_text(server.url)
        monkeypatch.setenv("CHAT_ADDRESS_FILE", str(tmp_path / "chat"))
        here = chat.model_copy(update={"command": (str(script), *chat.command[1:])})
        failed = {
            "id": "msg_1",
            "event": "failed",
            "dataset_id": "0" * 64,
            "dataset_name": "coco",
            "reason": "bad_data",
            "message": 'it says "no"',
        }
        outcome = Command(here, tmp_path).tell(Message(json.dumps(failed)))
        assert outcome.done, outcome
        (told,) = server.told
    assert json.loads(told.body) == {"text": 'coco failed (bad_data): it says "no"'}
