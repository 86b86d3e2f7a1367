"""The `datamill` command: requests, administration, replay, everything on one machine."""
