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

__all__ = ["catalog", "catalog_url", "forker", "life", "memory", "shared_catalog", "store"]
