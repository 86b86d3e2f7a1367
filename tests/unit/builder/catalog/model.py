"""What the catalog should hold after each step, as plain dictionaries.

It is written from DESIGN.md and what the states' docstrings say, without a look at rows, locks or
SQL: one step at a time, no two of anything at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from datamill_builder.catalog.downloads import LONGEST_SECS
from datamill_builder.catalog.holdings import KEPT_SECS
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind, TaskState
from tests.unit.builder.catalog.parts import ATTEMPTS

SAME_TRY_SECS, SAME_QUESTION_SECS = 1.0, 600.0
LOST_OWNERS = 10
WORKING = {BuildState.PLANNING, BuildState.BUILDING, BuildState.PACKING}

TaskName = tuple[TaskKind, str, int]


@dataclass
class Task:
    state: TaskState = TaskState.PENDING
    fence: int = 0
    attempts: int = 0


@dataclass
class Shard:
    made: bool = False
    file: str = "none"
    """none, whole, gone or flipped."""


@dataclass
class Build:
    whole: bool
    """Made in one piece, by a handler that can't be cut into shards."""
    raw: bool
    state: BuildState = BuildState.PLANNING
    epoch: int = 1
    shards: list[Shard] | None = None
    archive: str = "gone"
    """whole, touched, damaged or gone."""
    ended_at: float | None = None
    failed: bool = False
    pinned: bool = False
    downloads: list[float] = field(default_factory=list)
    """When those began that are under way."""
    fetched_at: float = 0.0
    told_at: float = 0.0
    """When an id that means something else by now was asked for last while it meant this."""


@dataclass
class Dataset:
    state: DatasetState = DatasetState.RESOLVING
    key: str | None = None
    meant: str | None = None
    """What it meant last, while nobody knows what it means."""
    marks: int | None = None
    waiting: int = 0
    asked_at: float = 0.0
    failed_at: float | None = None


@dataclass
class Model:
    """`told`: the answers, as (event, dataset id), that were given since it was last emptied."""

    now: float = 0.0
    raw: bool = False
    """Which of two versions of the raw data lies there."""
    marks: int = 0
    """How often it changed."""
    log: set[tuple[str, str]] = field(default_factory=set)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    builds: dict[str, Build] = field(default_factory=dict)
    tasks: dict[TaskName, Task] = field(default_factory=dict)
    told: Counter[tuple[str, str]] = field(default_factory=Counter)

    # --- requests ---

    def asked(self, id_: str, message_ids: list[str | None]) -> None:
        fresh = 0
        for message_id in message_ids:
            if message_id is None or (message_id, id_) not in self.log:
                fresh += 1
            if message_id is not None:
                self.log.add((message_id, id_))
        known = self.datasets.get(id_)
        if known is None:
            self.datasets[id_] = Dataset(waiting=fresh, asked_at=self.now)
            self._ensure((TaskKind.RESOLVE, id_, 0))
            return
        build = self.builds[known.key] if known.key else None
        if self.in_work(id_):
            known.waiting += fresh
            known.asked_at = self.now
        elif build and self._is_hit(known, build):
            self._answer_ready(id_)
        elif self._is_answered_by_failure(known, build, fresh):
            self.told["failed", id_] += 1
        else:
            known.meant = known.key or known.meant
            known.state, known.key, known.marks = DatasetState.RESOLVING, None, None
            known.waiting += fresh
            known.asked_at = self.now
            self._ensure((TaskKind.RESOLVE, id_, 0))

    def refused(self, id_: str) -> None:
        """Somebody asked with a field too many: nobody else may think that theirs failed."""
        if not self.in_work(id_):
            self.told["failed", id_] += 1

    def in_work(self, id_: str) -> bool:
        known = self.datasets.get(id_)
        if known is None or known.state == DatasetState.FAILED:
            return False
        return known.key is None or self.builds[known.key].state in WORKING

    def _is_hit(self, known: Dataset, build: Build) -> bool:
        there = build.state == BuildState.READY and build.archive == "whole"
        return there and known.marks == self.marks

    def _is_answered_by_failure(self, known: Dataset, build: Build | None, fresh: int) -> bool:
        failed_at = known.failed_at if known.state == DatasetState.FAILED else None
        if build and build.failed:
            failed_at = build.ended_at
        limit_secs = SAME_TRY_SECS if fresh else SAME_QUESTION_SECS
        return failed_at is not None and self.now - failed_at < limit_secs

    def _answer_ready(self, id_: str) -> None:
        self.datasets[id_].waiting = 0
        self.datasets[id_].asked_at = self.now
        self.told["ready", id_] += 1

    # --- who does what ---

    def claimed(self, name: TaskName) -> None:
        task = self.tasks[name]
        assert task.state == TaskState.PENDING
        task.state, task.fence, task.attempts = TaskState.LEASED, task.fence + 1, task.attempts + 1

    def holds(self, name: TaskName, fence: int) -> bool:
        task = self.tasks[name]
        return task.state == TaskState.LEASED and task.fence == fence

    def lost(self, name: TaskName) -> None:
        self.tasks[name].state = TaskState.PENDING

    def handed_back(self, name: TaskName) -> None:
        self.lost(name)
        self.tasks[name].attempts -= 1

    def stumbled(self, name: TaskName, attempts: int) -> None:
        if attempts >= ATTEMPTS:
            self.gave_up(name)
        else:
            self.lost(name)

    def gave_up(self, name: TaskName) -> None:
        kind, subject, _ = name
        self.tasks[name].state = TaskState.FAILED
        if kind is TaskKind.RESOLVE:
            self._end_resolving(subject)
        else:
            self._end(subject, BuildState.FAILED)

    # --- work that was done by its holder ---

    def resolved(self, id_: str, key: str, whole: bool, raw: bool) -> None:
        self.tasks[TaskKind.RESOLVE, id_, 0].state = TaskState.DONE
        new = key not in self.builds
        build = self.builds.setdefault(key, Build(whole, raw))
        known = self.datasets[id_]
        if known.meant and known.meant != key:
            left = self.builds[known.meant]
            left.told_at = max(left.told_at, known.asked_at)
        known.state, known.key, known.marks = DatasetState.RESOLVED, key, self.marks
        known.meant = None
        if new:
            self._ensure((TaskKind.PLAN, key, 0))
        elif build.state == BuildState.READY and build.archive == "whole":
            self._answer_ready(id_)
        elif build.state not in WORKING:
            self._begin_again(key)

    def planned(self, key: str) -> None:
        self.tasks[TaskKind.PLAN, key, 0].state = TaskState.DONE
        build = self.builds[key]
        build.state = BuildState.BUILDING
        build.shards = [Shard() for _ in range(1 if build.whole else 2)]
        for index in range(len(build.shards)):
            self._ensure((TaskKind.SHARD, key, index))

    def made(self, key: str, index: int) -> None:
        self.tasks[TaskKind.SHARD, key, index].state = TaskState.DONE
        build = self.builds[key]
        assert build.shards is not None
        if build.whole:
            build.shards = [Shard(True, "whole"), Shard(True, "whole")]
        else:
            build.shards[index] = Shard(True, "whole")
        self._pack_when_complete(key)

    def packed(self, key: str) -> None:
        name = (TaskKind.PACK, key, 0)
        build = self.builds[key]
        assert build.shards is not None
        if build.raw != self.raw:
            self.gave_up(name)
            return
        self.tasks[name].state = TaskState.DONE
        for bad in ("gone", "flipped"):  # what is gone is seen before anything is read
            indexes = [i for i, shard in enumerate(build.shards) if shard.file == bad]
            if indexes:
                build.state = BuildState.BUILDING
                self._make_again(key, indexes)
                return
        for shard in build.shards:
            shard.file = "none"
        build.state, build.archive, build.ended_at = BuildState.READY, "whole", self.now
        self._tell_aliases("ready", key)

    # --- what others do ---

    def looked_at(self, key: str) -> None:
        """A steward looked at every byte of an archive."""
        build = self.builds.get(key)
        if build and build.state == BuildState.READY:
            build.archive = "whole" if build.archive in ("whole", "touched") else "gone"

    def cancelled(self, id_: str) -> bool:
        if not self.in_work(id_):
            return False
        key = self.datasets[id_].key
        if key is None:
            self._end_resolving(id_)
            self._cancel_tasks(id_)
        else:
            self._end(key, BuildState.CANCELLED)
        return True

    def evicted(self) -> int:
        """All goes that nobody wanted for long, and that nobody has pinned or is fetching."""
        return sum(self.taken_away(key, force=False) == "taken" for key in self.builds)

    def taken_away(self, key: str, force: bool) -> str | None:
        """What is held of a build goes: "taken", or why it stays; None where nothing is held."""
        build = self.builds[key]
        loose = [shard for shard in build.shards or [] if shard.file != "none"]
        ended = build.state in (BuildState.FAILED, BuildState.CANCELLED)
        if build.state != BuildState.READY and not (ended and loose):
            return None
        if build.pinned:
            return "pinned"
        if self._is_fetched(build) and not force:
            return "downloading"
        meaning = [known for known in self.datasets.values() if key in (known.key, known.meant)]
        if any(known.state == DatasetState.RESOLVING for known in meaning) and not force:
            return "wanted"
        asked = [known.asked_at for known in meaning]
        used_at = max([build.ended_at or 0.0, build.fetched_at, build.told_at, *asked])
        if self.now - used_at <= KEPT_SECS and not force:
            return "recent"
        for shard in loose:
            shard.file = "none"
        if build.state == BuildState.READY:
            build.state, build.archive = BuildState.EVICTED, "gone"
            self._tell_aliases("evicted", key)
        return "taken"

    def _is_fetched(self, build: Build) -> bool:
        return any(self.now - began <= LONGEST_SECS for began in build.downloads)

    def pinned(self, key: str, pinned: bool) -> bool:
        """Somebody pins a build, or the contrary; returns whether that is new."""
        build = self.builds[key]
        build.pinned, before = pinned, build.pinned
        return pinned != before

    def fetching(self, key: str) -> None:
        self.builds[key].downloads.append(self.now)
        self.builds[key].fetched_at = self.now

    def fetched(self, key: str) -> None:
        """The download that began first has ended."""
        self.builds[key].downloads.pop(0)
        self.builds[key].fetched_at = self.now

    def raw_changed(self, raw: bool, marks: int) -> None:
        self.raw, self.marks = raw, marks

    def marks_forgotten(self, marks: set[int]) -> None:
        """The raw watch has seen that these do not hold."""
        for known in self.datasets.values():
            if known.marks in marks:
                known.marks = None

    # --- what several of these do ---

    def aliases(self, key: str) -> list[str]:
        return [id_ for id_, known in self.datasets.items() if known.key == key]

    def _tell_aliases(self, event: str, key: str) -> None:
        for id_ in self.aliases(key):
            self.told[event, id_] += 1
            self.datasets[id_].waiting = 0

    def _end_resolving(self, id_: str) -> None:
        known = self.datasets[id_]
        known.state, known.failed_at, known.waiting = DatasetState.FAILED, self.now, 0
        self.told["failed", id_] += 1

    def _end(self, key: str, state: BuildState) -> None:
        build = self.builds[key]
        build.state, build.failed, build.ended_at = state, True, self.now
        self._cancel_tasks(key)
        self._tell_aliases("failed", key)

    def _cancel_tasks(self, subject: str) -> None:
        for (_, of, _), task in self.tasks.items():
            if of == subject and task.state in (TaskState.PENDING, TaskState.LEASED):
                task.state, task.fence = TaskState.CANCELLED, task.fence + 1

    def _begin_again(self, key: str) -> None:
        build = self.builds[key]
        build.epoch += 1
        build.failed, build.ended_at = False, None
        if build.shards is None:
            build.state = BuildState.PLANNING
            self._ensure((TaskKind.PLAN, key, 0))
            return
        build.state = BuildState.BUILDING
        lost = [i for i, s in enumerate(build.shards) if s.made and s.file in ("none", "gone")]
        self._make_again(key, lost)
        for name, task in self.tasks.items():
            ended = task.state in (TaskState.FAILED, TaskState.CANCELLED)
            if name[:2] == (TaskKind.SHARD, key) and ended:
                self._ensure(name)
        self._pack_when_complete(key)

    def _make_again(self, key: str, indexes: list[int]) -> None:
        build = self.builds[key]
        assert build.shards is not None
        for index in [0] if build.whole and indexes else indexes:
            build.shards[index] = Shard()
            self._ensure((TaskKind.SHARD, key, index))

    def _pack_when_complete(self, key: str) -> None:
        build = self.builds[key]
        assert build.shards is not None
        if all(shard.made for shard in build.shards):
            build.state = BuildState.PACKING
            self._ensure((TaskKind.PACK, key, 0))

    def _ensure(self, name: TaskName) -> None:
        task = self.tasks.setdefault(name, Task())
        task.state, task.attempts = TaskState.PENDING, 0
