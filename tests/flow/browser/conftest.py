"""A real browser, headless, and what it complains about."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support.chromium import NoChromium, ensure_chromium

WIDTHS = {"desk": (1280, 900), "phone": (375, 740)}


# The page looks after two seconds at most, but builders take their time.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module, which use no event loop of their own meanwhile."""
    try:
        chromium = ensure_chromium(print)
    except NoChromium as error:
        pytest.skip(f"needs Chromium: {error}")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium.program,
            env=dict(chromium.whole_environment),
            args=[*sandbox, "--disable-gpu"],
        )
        yield running
        running.close()


class Watched:
    """A page, with the errors that it made and the addresses that it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._requested)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _requested(self, request: Request) -> None:
        self.asked.append(request.url)

    def elsewhere(self, url: str) -> list[str]:
        """Return what it asked for from others than a server."""
        return [asked for asked in self.asked if not asked.startswith((url + "/", "data:"))]

    def overflow(self) -> int:
        """Return how many pixels the page is wider than its window."""
        root = "document.documentElement"
        return int(self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A page in a context of its own."""
    width, height = WIDTHS["desk"]
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(60_000)
    yield Watched(context.new_page())
    context.close()
