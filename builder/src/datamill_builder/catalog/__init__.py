"""The catalog: the database of requests, builds, shards, downloads and raw data versions."""

from datamill_builder.catalog.engine import Catalog, Transaction
from datamill_builder.catalog.errors import CatalogFull, CatalogTooNew, CatalogUnavailable
from datamill_builder.catalog.patience import PatientChanges

__all__ = [
    "Catalog",
    "CatalogFull",
    "CatalogTooNew",
    "CatalogUnavailable",
    "PatientChanges",
    "Transaction",
]
