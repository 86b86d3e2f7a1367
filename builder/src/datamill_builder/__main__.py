"""`python -m datamill_builder` is `datamill builder`."""

from datamill_builder.cli import main

main()
