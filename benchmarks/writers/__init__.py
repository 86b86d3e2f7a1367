"""The published example as other systems write it: one file per system, each a command of its own.

All write the same JPEGs with their labels. Each runs by the Python of the environment that its
system is installed in, so that its start-up counts and nothing of it is imported here.
"""
