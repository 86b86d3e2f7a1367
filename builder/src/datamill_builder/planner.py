"""From a content key to shards: the handler lists the source items, the list is cut."""

from __future__ import annotations

import logging

from datamill.failpoint import failpoint
from datamill_builder.catalog import Transaction, lifecycle
from datamill_builder.catalog.lifecycle import PlannedShard
from datamill_builder.catalog.tasks import Claim
from datamill_builder.handlers import answers
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.pool import OpenHandler
from datamill_builder.installers import Installers
from datamill_builder.planning import cut_all
from datamill_builder.recipe import Recipe
from datamill_builder.workbench import Workbench, opening_of

log = logging.getLogger(__name__)


class Planner:
    """Plans builds; for any thread."""

    def __init__(
        self, bench: Workbench, environments: Environments, installers: Installers
    ) -> None:
        self._bench = bench
        self._environments = environments
        self._installers = installers

    def plan(self, claim: Claim) -> None:
        """Cut a build into shards.

        Raises `NoTurn` where its environment has to be made and as many are being made as may be.
        """
        recipe = self._bench.recipe(claim.subject)
        made = self._environments.is_made(recipe.environment)
        with (
            self._installers.turn(recipe.environment.key, needed=not made),
            self._bench.handlers.lend(opening_of(recipe)) as opened,
        ):
            if recipe.mode == "classic":
                self._plan_classic(claim)
            else:
                self._plan_sharded(claim, recipe, opened)

    def _plan_classic(self, claim: Claim) -> None:
        whole = [PlannedShard("train", 0, 0)]
        self._bench.changes.make(
            lambda change: lifecycle.plan_done(change, claim, None, 0, 0, whole)
        )

    def _plan_sharded(self, claim: Claim, recipe: Recipe, opened: OpenHandler) -> None:
        key, store = claim.subject, self._bench.store
        patience_secs = self._bench.settings.handler_timeout_secs
        # It may have to read every annotation for the names of its classes.
        features = answers.features(opened.process.call("features", timeout_secs=patience_secs))
        with store.scratch() as folder:
            counts = answers.plan(
                opened.process.call(
                    "plan",
                    content_key=key,
                    folder=str(folder),
                    timeout_secs=patience_secs,
                )
            )
            planned = cut_all(folder, counts, recipe.records_per_shard)
            if features is not None:
                # Beside what a record holds: how many of them each split will have.
                features["splits"] = {name: split["records"] for name, split in counts.items()}
            items = sum(split["items"] for split in counts.values())
            records = sum(split["records"] for split in counts.values())

            def commit(change: Transaction) -> None:
                lifecycle.plan_done(change, claim, features, items, records, planned)
                # In the same change: a stale planner moves nothing to where others look.
                for split in counts:
                    store.keep_plan(folder / f"{split}.jsonl", key, split)
                failpoint("plan.kept")

            self._bench.changes.make(commit)
        log.info("%s: %d source items, %d shards", key[:12], items, len(planned))
