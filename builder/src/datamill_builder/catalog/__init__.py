"""The catalog: the database of requests, builds, shards, downloads and raw data versions."""

from datamill_builder.catalog.engine import (
    Catalog,
    CatalogFull,
    CatalogUnavailable,
    Transaction,
)
from datamill_builder.catalog.patience import PatientChanges
from datamill_builder.catalog.upgrade import CatalogTooNew

__all__ = [
    "Catalog",
    "CatalogFull",
    "CatalogTooNew",
    "CatalogUnavailable",
    "PatientChanges",
    "Transaction",
]
