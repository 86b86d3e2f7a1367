"""The live page and the metrics, from a real catalog."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

from datamill_builder.catalog import Catalog, views
from datamill_builder.store import Store
from datamill_notifier.page import CONTENT_SECURITY_POLICY, render
from tests.support.catalog_steps import Steps

ATTACK = "<script>alert(1)</script>\"'&"


def page(catalog: Catalog) -> str:
    with catalog.read() as connection:
        return render(views.dataset_views(connection), broker_connected=False)


def test_nothing_asked_for(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'c.sqlite'}")
    assert "Nobody has asked" in page(catalog)
    catalog.close()


def test_whatever_somebody_sent_is_shown_as_text(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'c.sqlite'}")
    Steps(catalog, Store(tmp_path / "s"), {ATTACK: ATTACK}).accepted().refused(ATTACK)
    shown = page(catalog)
    assert "alert(1)" in shown
    assert ATTACK not in shown
    assert "<script>alert" not in shown
    parser = _Scripts()
    parser.feed(shown)
    assert parser.scripts == 1
    catalog.close()


def test_only_what_the_policy_allows_is_inline() -> None:
    shown = render([], broker_connected=True)
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", shown, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert not re.findall(r"https?://", shown)
    assert "style=" not in shown


class _Scripts(HTMLParser):
    scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        assert not any(name.startswith("on") for name, _ in attrs)
