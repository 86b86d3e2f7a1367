"""Flows start from a home whose handler environment is there already."""

from tests.support.prepared import home, prepared_home

__all__ = ["home", "prepared_home"]
