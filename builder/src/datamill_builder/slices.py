"""Reading a shard's slice of the plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_slice(plan: Path, shard: Any) -> list[dict[str, Any]]:
    """Return the source items of a shard: `shard` has `plan_offset` and `plan_bytes`."""
    with plan.open("rb") as file:
        file.seek(shard.plan_offset)
        return [json.loads(line) for line in file.read(shard.plan_bytes).splitlines()]
