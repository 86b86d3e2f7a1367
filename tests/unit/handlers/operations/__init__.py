"""One file per image operation."""
