"""Handler packages: where releases come from, their environments, and the processes that run them.

A handler never runs in the builder: `runner.py` runs in the handler's own environment and speaks
JSON lines with `process.py`.
"""
