"""The checks of `datamill doctor` that need no builder or notifier to be installed."""
