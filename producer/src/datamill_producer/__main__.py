"""`python -m datamill_producer` is `datamill`."""

from datamill_producer.cli import main

main()
