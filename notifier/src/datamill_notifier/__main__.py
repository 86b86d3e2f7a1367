"""`python -m datamill_notifier` is `datamill notifier`."""

from datamill_notifier.cli import main

main()
