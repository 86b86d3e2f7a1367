"""The catalog: the database of requests, builds, shards, downloads and raw data versions."""

from datamill_builder.catalog.engine import Catalog, CatalogTooNew, CatalogUnavailable, Transaction

__all__ = ["Catalog", "CatalogTooNew", "CatalogUnavailable", "Transaction"]
