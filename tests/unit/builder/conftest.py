"""Fixtures of the builder's parts."""

from tests.support.builder_fixtures import (
    catalog,
    catalog_url,
    forker,
    life,
    memory,
    shared_catalog,
    store,
)
from tests.support.json_log import log_lines

__all__ = [
    "catalog",
    "catalog_url",
    "forker",
    "life",
    "log_lines",
    "memory",
    "shared_catalog",
    "store",
]
