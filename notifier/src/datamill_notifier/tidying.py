"""Bringing the store under its budget when somebody says so, and telling what that means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datamill_builder.catalog.holdings import (
    Choice,
    Holding,
    Stays,
    Stray,
    choose,
    drop_leftovers,
    held_bytes,
    holdings,
    ids_of,
    make_room,
    score,
    strays,
)
from datamill_notifier.service import Service

Document = dict[str, Any]


def plan(service: Service, budget_bytes: int | None) -> Document:
    """Return what would go, in this order, and why the others stay."""
    found = strays(service.catalog, service.store)
    before, choice, ids = _choice(service, budget_bytes)
    gone = _documents(choice.go, ids)
    document = _document(service, budget_bytes, before, choice.left_bytes, gone, found)
    return {"dry_run": True, **document, "stay": _stay(choice.stay, ids)}


def tidy(service: Service, budget_bytes: int | None) -> Document:
    """Take away what has to go; return what went, and why the others stay."""
    found = strays(service.catalog, service.store)
    drop_leftovers(service.catalog, service.store)
    service.store.sweep()
    before, _, ids = _choice(service, budget_bytes)
    room = make_room(service.catalog, service.store, budget_bytes)
    after, choice, _ = _choice(service, budget_bytes)
    gone = _documents(room.gone, ids)
    document = _document(service, budget_bytes, before, after, gone, found)
    return {"dry_run": False, **document, "stay": _stay(choice.stay, ids)}


def _choice(service: Service, budget_bytes: int | None) -> tuple[int, Choice, dict[str, list[str]]]:
    with service.catalog.read() as connection:
        held, found = held_bytes(connection), holdings(connection)
        ids = ids_of(connection, [holding.content_key for holding in found])
    return held, choose(found, held, budget_bytes), ids


def _document(
    service: Service,
    budget_bytes: int | None,
    before: int,
    after: int,
    gone: list[Document],
    found: list[Stray],
) -> Document:
    quarantined = service.store.quarantined()
    root = service.store.root
    return {
        "budget_bytes": budget_bytes,
        "held_bytes": before,
        "left_bytes": after,
        "over_bytes": max(0, after - budget_bytes) if budget_bytes is not None else 0,
        "gone": gone,
        "strays": [
            {"path": str(stray.path.relative_to(root)), "bytes": stray.bytes} for stray in found
        ],
        "quarantined": [
            {"path": str(path.relative_to(root)), "bytes": path.stat().st_size}
            for path in quarantined
        ],
    }


def _stay(stay: Sequence[tuple[Holding, Stays]], ids: dict[str, list[str]]) -> list[Document]:
    documents = _documents([holding for holding, _ in stay], ids)
    return [{**document, "why": why} for document, (_, why) in zip(documents, stay, strict=True)]


def _documents(held: Sequence[Holding], ids: dict[str, list[str]]) -> list[Document]:
    return [
        {
            "content_key": holding.content_key,
            "dataset_ids": ids.get(holding.content_key, []),
            "dataset_name": holding.dataset_name,
            "what": holding.kind,
            "archive": holding.archive,
            "bytes": holding.bytes,
            "idle_secs": round(holding.idle_secs, 1),
            "build_secs": round(holding.build_secs, 3),
            "score": round(score(holding), 1),
        }
        for holding in held
    ]
