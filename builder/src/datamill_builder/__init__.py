"""Turns requests into datasets: intake, deduplication, handler environments, shards, packing."""
