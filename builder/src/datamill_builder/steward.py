"""Stewards: they have requests resolved, builds planned, and archives packed.

Each works on one ticket at a time. A ticket is a hint: the task is claimed in the catalog, and
every result is written under the claim's fence.
"""

from __future__ import annotations

import json
import logging

from datamill.broker import Delivery
from datamill_builder.assembler import Assembler
from datamill_builder.attempts import Attempts
from datamill_builder.catalog import Catalog, CatalogUnavailable, tasks
from datamill_builder.catalog.named import task_named
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.tasks import Claim
from datamill_builder.disk_space import DiskSpace
from datamill_builder.handlers.environments import Environments
from datamill_builder.installers import Installers, NoTurn, Task
from datamill_builder.packer import Packer
from datamill_builder.planner import Planner
from datamill_builder.resolver import Resolver
from datamill_builder.workbench import Workbench

log = logging.getLogger(__name__)

INSTALLERS = 12
"""How many environments are made at a time: fewer than there are stewards, so that some are left
for what needs none."""


class Steward:
    """Resolves, plans and packs. `work` is called by several threads."""

    def __init__(
        self,
        owner: str,
        bench: Workbench,
        attempts: Attempts,
        space: DiskSpace,
        environments: Environments,
        assembler: Assembler,
    ) -> None:
        self._owner = owner
        self._bench = bench
        self._attempts = attempts
        self._space = space
        self._installers = Installers(INSTALLERS, lambda task: _wake(bench.catalog, task))
        self.resolver = Resolver(bench, environments, self._installers)
        self.planner = Planner(bench, environments, self._installers)
        self.packer = Packer(bench, assembler)

    def work(self, delivery: Delivery) -> None:
        """Do what a ticket hints at, if nobody else does."""
        try:
            ticket = json.loads(delivery.body)
            kind, subject = TaskKind(ticket["task"]), str(ticket["subject"])
        except (ValueError, KeyError, TypeError):
            log.warning("a ticket could not be read: %r", delivery.body[:200])
            return
        if not self._may_begin(kind):
            return  # the task is in the catalog; the reconciler brings it up again
        try:
            self._do(kind, subject)
        except CatalogUnavailable as error:
            # The builder stops before anything can be written: the lease runs out.
            named = task_named(kind, subject)
            log.warning("%s: %s: %s", subject[:12], kind, error, extra=named)

    def _may_begin(self, kind: TaskKind) -> bool:
        """Return whether there may be room on the disk; packers wait for it, others don't.

        One thread that waits is one that resolves and plans for nobody else.
        """
        if kind is TaskKind.PACK:
            return self._space.wait(kind)
        return not self._space.holds_back(kind)

    def _do(self, kind: TaskKind, subject: str) -> None:
        claim = self._bench.changes.make(
            lambda change: tasks.claim(change, kind, subject, 0, self._owner)
        )
        if claim is None:
            self._installers.call_next()  # it was called, perhaps, and is not wanted any more
            return
        to_plan: list[str] = []
        self._attempts.carry_out(claim, lambda mine: self._step(mine, to_plan))
        for content_key in to_plan:
            self._do(TaskKind.PLAN, content_key)

    def _step(self, claim: Claim, to_plan: list[str]) -> None:
        """Do a piece of work; add the content key of what should be planned next."""
        try:
            match claim.kind:
                case TaskKind.RESOLVE:
                    to_plan += self.resolver.resolve(claim)
                case TaskKind.PLAN:
                    self.planner.plan(claim)
                case TaskKind.PACK:
                    self.packer.pack(claim)
        except NoTurn as wait:
            # Waits for a turn at making an environment, without keeping a thread from other work.
            if self._attempts.put_aside(claim):
                self._installers.line_up((claim.kind, claim.subject), wait.environment)


def _wake(catalog: Catalog, task: Task) -> None:
    try:
        with catalog.write() as change:
            tasks.wake(change, *task)
    except CatalogUnavailable as error:
        named = task_named(*task)
        log.warning("%s: %s is not called yet: %s", task[1][:12], task[0], error, extra=named)
