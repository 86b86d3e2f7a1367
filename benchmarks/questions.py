"""What is measured, in the order of the report."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).resolve().parents[1] / ".cache" / "benchmarks"
"""The figures of each question, as JSON."""


class Question(NamedTuple):
    """A question: a module of this package."""

    name: str
    title: str


QUESTIONS = (
    Question("building", "A build, beside the transform alone"),
    Question("peers", "A build, beside other writers of datasets"),
    Question("highres", "Small outputs from large photographs"),
    Question("growth", "How the cost of a build grows"),
    Question("build_start", "From a request to the first shard"),
    Question("first_batch", "From a cold request to the first batch"),
    Question("environments", "An environment for a new handler version"),
    Question("hits", "A request for what is there"),
    Question("many_requests", "10,000 identical requests"),
    Question("fan_out", "One answer to 1,000 clients"),
    Question("planning", "Planning 1,000,000 source items"),
    Question("packing", "Packing an archive"),
    Question("serving", "Serving an archive"),
    Question("downloading", "Downloading an archive"),
    Question("four_trainers", "Four trainers on one host"),
    Question("first_batch_cached", "From a cached dataset to the first batch"),
    Question("reading", "Reading a dataset"),
    Question("memory", "Memory"),
)
