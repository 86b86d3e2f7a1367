"""What trainers ask for: valid and not, new and repeated, in one spelling or another."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import rfc8785

DATASETS = {
    "toy": [f"item {n}" for n in range(30)],
    "slow": ["sleep 0.4 zzz"] * 12 + [f"item {n}" for n in range(8)],
    "long": ["sleep 0.15 zzz"] * 120,
    "spotty": [f"item {n}" for n in range(199)] + ["bad apple"],
    "rotten": ["bad apple"] * 3 + ["item 1"],
    "crashing": ["item 1", "crash now"],
}
"""Raw data by dataset name; all are read by the toy handler."""

_PREFIXES = 60


@dataclass(frozen=True)
class Asked:
    """A request and how it has to be answered: `ready`, or `failed` for a reason."""

    name: str
    version: str
    config: dict[str, Any] = field(hash=False)
    expected: str

    @property
    def document(self) -> dict[str, Any]:
        """The request, as its JSON says it."""
        return {
            "dataset_name": self.name,
            "handler_version": self.version,
            "dataset_config": self.config,
        }

    @property
    def dataset_id(self) -> str:
        """The id by the contract, computed without any of our code."""
        return hashlib.sha256(rfc8785.dumps(self.document)).hexdigest()


def requests_of(seed: int, trainer: int) -> Iterator[tuple[Asked, float]]:
    """Yield what a trainer asks for, and the seconds that it pauses afterwards, for ever."""
    rng = random.Random(f"trainer {seed} {trainer}")
    while True:
        yield _next(rng), rng.expovariate(1 / 2.0)


def _next(rng: random.Random) -> Asked:
    draw = rng.random()
    if draw < 0.04:
        return Asked("toy", "1.0.0", {"repaet": rng.randrange(5)}, "invalid_config")
    if draw < 0.07:
        return Asked("toy", f"9.9.{rng.randrange(5)}", {}, "unknown_handler")
    if draw < 0.10:
        return Asked(f"nothing{rng.randrange(5)}", "1.0.0", {}, "unknown_dataset")
    if draw < 0.13:
        return Asked("rotten", "1.0.0", {"prefix": f"{rng.randrange(5)}"}, "bad_data")
    if draw < 0.16:
        return Asked("crashing", "1.0.0", {"prefix": f"{rng.randrange(5)}"}, "handler_error")
    (name,) = rng.choices(["toy", "slow", "long", "spotty"], [8, 4, 1, 3])
    config: dict[str, Any] = {"prefix": f"p{rng.randrange(_PREFIXES)} "}
    if rng.random() < 0.3:
        config["repeat"] = rng.choice([1, 2])  # 1 is the default: an alias
    if name in ("toy", "slow") and rng.random() < 0.2:
        config["max_items"] = rng.choice([None, 5])
    return Asked(name, rng.choice(["1.0.0", "1.0.0", "1.0"]), config, "ready")
