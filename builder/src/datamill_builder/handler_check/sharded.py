"""The demands on a handler that is built shard by shard."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from datamill.errors import ArchiveError, first_line
from datamill.features import Feature, parse_features
from datamill.records import read_records
from datamill_builder.handler_check.demand import Demand, Unmet
from datamill_builder.handler_check.record import flaw
from datamill_builder.handler_check.trial import CONTENT_KEY, Trial
from datamill_builder.handlers import answers
from datamill_builder.handlers.answers import Skipped
from datamill_builder.handlers.process import HandlerProcess
from datamill_builder.planning import cut_all

SAMPLE_ITEMS = 12
"""So many source items are written, several times: the first of the plan, a fair sample."""

Item = dict[str, Any]

_FEATURES = (
    "feature_spec() has to give the object of TensorFlow Datasets' features.json, and labels"
)
_RAW = "the handler has to find its source items there; its layout says what it reads"
_PLAN = (
    "the order has to come from the content key and the items' keys alone: no set, no clock, no "
    "order of a listing, no random numbers of a process; keys have to be unique"
)
_RECORDS = "write_shard() has to write a TFRecord file with the records of the items it is given"
_ANNOUNCED = "records have to hold exactly the features that feature_spec() announces"
_TWICE = (
    "bytes have to depend on the item, the content key and the packages alone: take random "
    "numbers from the `rng` that records() is given, no clock, no hash(), no order of a set"
)
_ORDER = (
    "what an item becomes must not depend on the items that were written before it: no counters, "
    "no generator of random numbers that is kept"
)
_UNTOUCHED = "write into the working folder alone: others read the same raw data"


def sharded_demands(trial: Trial) -> list[Demand]:
    """Return the demands that need raw data."""
    checks = _ShardChecks(trial)
    return [
        Demand("features", checks.features, _FEATURES, needed=True),
        Demand("plan", checks.plan, _RAW, needed=True),
        Demand("same plan twice", checks.plan_again, _PLAN),
        Demand("records", checks.records, _RECORDS, needed=True),
        Demand("announced features", checks.announced, _ANNOUNCED),
        Demand("equal bytes twice", checks.twice, _TWICE),
        Demand("equal bytes in another order", checks.other_order, _ORDER),
        Demand("raw data untouched", checks.untouched, _UNTOUCHED),
    ]


class _ShardChecks:
    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._spec: dict[str, Any] | None = None
        self._plan: dict[str, bytes] = {}
        self._keys: list[str] = []
        self._sample: list[Item] = []
        self._file = Path()
        self._shard = b""

    def features(self) -> str:
        self._spec = answers.features(self._trial.opened().call("features"))
        if self._spec is None:
            return "it does not say: they are told from the records"
        try:
            return ", ".join(feature.name for feature in self._known())
        except ArchiveError as error:
            return f"taken, but {first_line(error)}"

    def _known(self) -> list[Feature]:
        assert self._spec is not None
        return parse_features(self._spec["features"])

    def plan(self) -> str:
        raw = self._trial.raw_there()
        counts, self._plan = self._planned(1)
        split = "train" if "train" in self._plan else min(self._plan)
        for name, count in counts.items():
            items = _items(self._plan[name])
            if len(items) != count["items"]:
                raise Unmet(f"{name}.jsonl has {len(items)} items, said were {count['items']}")
            self._keys += [item["key"] for item in items]
            self._sample = items[:SAMPLE_ITEMS] if name == split else self._sample
        told = (
            f"{split}: {n['items']} items, {n['records']} records" for split, n in counts.items()
        )
        return f"{'; '.join(told)} of {raw}"

    def _planned(self, number: int) -> tuple[dict[str, dict[str, int]], dict[str, bytes]]:
        """Return the counts and the plan of each split, as a process tells them."""
        trial = self._trial
        folder = Path(tempfile.mkdtemp(prefix="plan", dir=trial.folder))
        counts = answers.plan(
            trial.opened(number).call(
                "plan",
                content_key=CONTENT_KEY,
                folder=str(folder),
                timeout_secs=trial.settings.handler_timeout_secs,
            )
        )
        cut_all(folder, counts, trial.info["records_per_shard"])
        return counts, {split: (folder / f"{split}.jsonl").read_bytes() for split in counts}

    def plan_again(self) -> str:
        key, times = Counter(self._keys).most_common(1)[0]
        if times > 1:
            raise Unmet(f"the key {key} is there {times} times")
        _, again = self._planned(2)
        if again != self._plan:
            raise Unmet("another process lists the source items in another order, or others")
        return f"{len(self._keys)} keys, the same in another process"

    def records(self) -> str:
        self._file, skipped, count = self._written(self._trial.opened(), self._sample)
        self._shard = self._file.read_bytes()
        if not count:
            first = f"; the first: {skipped[0].key}: {skipped[0].reason}" if skipped else ""
            raise Unmet(f"{len(self._sample)} items gave no record{first}")
        told = f"{count} of {len(self._sample)} source items, {len(self._shard)} bytes"
        bad = [f"{each.key}: {each.reason}" for each in skipped]
        return f"{told}; skipped: {'; '.join(bad)}" if bad else told

    def announced(self) -> str:
        if self._spec is None:
            return "none are announced"
        try:
            features = self._known()
        except ArchiveError as error:
            return f"not looked at: {first_line(error)}"
        labels = self._spec["labels"]
        flaws = [flaw(each, features, labels) for each in read_records(self._file)]
        for number, wrong in enumerate(flaws):
            if wrong:
                raise Unmet(f"record {number}: {wrong}")
        return f"all {len(flaws)} records hold them"

    def twice(self) -> str:
        file, _, _ = self._written(self._trial.opened(2), self._sample)
        if file.read_bytes() != self._shard:
            raise Unmet("another process writes the same items with other bytes")
        return "two processes that share nothing but the plan: nothing has to be pickled"

    def other_order(self) -> str:
        alone: dict[int, bytes] = {}
        process = self._trial.opened(2)
        for number, item in reversed(list(enumerate(self._sample))):
            file, _, _ = self._written(process, [item])
            alone[number] = file.read_bytes()
        place = 0
        for number, item in enumerate(self._sample):
            if not self._shard.startswith(alone[number], place):
                raise Unmet(f"{item['key']} becomes other bytes when it is written by itself")
            place += len(alone[number])
        if place != len(self._shard):
            raise Unmet("items give fewer records when each is written by itself")
        return "each item by itself, the last one first"

    def untouched(self) -> str:
        changed = self._trial.raw_changes()
        if changed:
            raise Unmet(f"changed or new: {', '.join(changed[:3])}")
        return "nothing was written there"

    def _written(
        self, process: HandlerProcess, items: list[Item]
    ) -> tuple[Path, list[Skipped], int]:
        trial = self._trial
        file = Path(tempfile.mkdtemp(prefix="shard", dir=trial.folder), "shard.tfrecord")
        answer = process.call(
            "shard",
            content_key=CONTENT_KEY,
            items=items,
            path=str(file),
            timeout_secs=trial.settings.shard_timeout_secs,
        )
        found, skipped = answers.written(answer, file, items)
        strange = {each.key for each in skipped} - {item["key"] for item in items}
        if strange:
            raise Unmet(f"it skipped {min(strange)}, which it was not given")
        return file, skipped, found.records


def _items(plan: bytes) -> list[Item]:
    """Return the source items of a split's plan, which a handler may have written itself."""
    try:
        items = [json.loads(line) for line in plan.splitlines()]
    except ValueError as error:
        raise Unmet(f"the plan is not a JSON object per line: {first_line(error)}") from error
    if not all(isinstance(item, dict) and isinstance(item.get("key"), str) for item in items):
        raise Unmet("the plan has an item without a key")
    return items
