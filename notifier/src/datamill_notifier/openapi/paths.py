"""Every route: a new one gets a line in one of these tables, and a test says so if it has none.

Pages for people, and what they load, are described nowhere: see `PAGES`.
"""

from __future__ import annotations

from datamill_notifier.openapi import administration, asking, datasets, health, insights
from datamill_notifier.openapi.operations import Operation

PAGES = ("datamill_notifier.live.routes",)
"""Modules whose routes are no interface for programs: pages, their styles and scripts."""

OPERATIONS: tuple[Operation, ...] = (
    *asking.OPERATIONS,
    *datasets.OPERATIONS,
    *insights.OPERATIONS,
    *health.OPERATIONS,
    *administration.OPERATIONS,
)
