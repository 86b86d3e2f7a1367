"""The demands on a handler that only knows the classic contract."""

from __future__ import annotations

from pathlib import Path

from datamill_builder.handler_check.demand import Demand, Unmet
from datamill_builder.handler_check.trial import Trial
from datamill_builder.handlers import answers
from datamill_builder.handlers.process import HandlerProcess
from datamill_builder.inference import infer_features
from datamill_builder.shard_file import read_shard

_WRITES = (
    "as_tfrecord() has to write .tfrecord files into the working folder and return their paths"
)
_FEATURES = "records should be tf.train.Example that all have the same features"
_TWICE = (
    "bytes have to depend on raw data, config and packages alone: SerializeToString("
    "deterministic=True), random numbers seeded from the config, no clock, no order of a set or of "
    "a listing"
)
_UNTOUCHED = "write into the working folder alone: others read the same raw data"


def classic_demands(trial: Trial) -> list[Demand]:
    """Return the demands that need raw data."""
    checks = _ClassicChecks(trial)
    return [
        Demand("records", checks.records, _WRITES, needed=True),
        Demand("announced features", checks.features, _FEATURES),
        Demand("equal bytes twice", checks.twice, _TWICE),
        Demand("raw data untouched", checks.untouched, _UNTOUCHED),
    ]


class _ClassicChecks:
    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._files: list[Path] = []
        self._digests: list[str] = []

    def records(self) -> str:
        self._trial.raw_there()
        self._files = self._written(self._trial.opened())
        shards = [read_shard(file) for file in self._files]
        self._digests = [shard.sha256 for shard in shards]
        records = sum(shard.records for shard in shards)
        if not records:
            raise Unmet("no record is in its files")
        size = sum(shard.bytes for shard in shards)
        files = "one file" if len(shards) == 1 else f"{len(shards)} files"
        return f"{records} records in {files}, {size} bytes"

    def features(self) -> str:
        found = infer_features(self._files)
        if found is None:
            return "can't be told from the records: only its tf_records_mapper reads them"
        return ", ".join(found["featuresDict"]["features"])

    def twice(self) -> str:
        again = [read_shard(file).sha256 for file in self._written(self._trial.opened(2))]
        if again != self._digests:
            raise Unmet("another process writes other bytes")
        return "two processes that share nothing: nothing has to be pickled"

    def untouched(self) -> str:
        changed = self._trial.raw_changes()
        if changed:
            raise Unmet(f"changed or new: {', '.join(changed[:3])}")
        return "nothing was written there"

    def _written(self, process: HandlerProcess) -> list[Path]:
        limit_secs = self._trial.settings.handler_timeout_secs
        files = [
            Path(path) for path in answers.paths(process.call("classic", timeout_secs=limit_secs))
        ]
        for file in files:
            if not file.is_file():
                raise Unmet(f"as_tfrecord() named {file.name}, which is no file")
        return files
