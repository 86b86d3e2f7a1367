"""Telling others when a dataset is ready or failed: webhooks and commands."""
