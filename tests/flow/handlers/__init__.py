"""The handlers that ship, through a real builder, on real raw data."""
