"""Annotation files of strangers: read in pieces, checked entry by entry."""
