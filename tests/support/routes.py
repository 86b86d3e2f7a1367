"""The routes of the notifier's application."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from datamill_notifier.app import application
from datamill_notifier.service import Service


class _Anything:
    """Parts of which no route asks for anything, since none is called."""

    def __getattr__(self, _name: str) -> None:
        return None


def routes(but_of: Collection[str] = ()) -> set[tuple[str, str]]:
    """Return method and path of every route; `but_of`: modules whose routes are left out."""
    app = application(cast(Service, _Anything()))
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.handler.__module__ not in but_of
    }
