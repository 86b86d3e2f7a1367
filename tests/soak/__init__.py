"""A long random run: trainers ask, faults happen, and afterwards nothing is lost, twice or half.

`make soak MINUTES=30 SEED=1`. Which faults happen when, and what each trainer asks for, follows
from the seed.
"""
