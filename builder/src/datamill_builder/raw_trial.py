"""Having a handler list raw data before anybody asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datamill.errors import DatamillError, first_line
from datamill.settings import Settings
from datamill_builder.handler_check.trial import CONTENT_KEY
from datamill_builder.handlers import answers
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.offers import newest_version
from datamill_builder.handlers.process import HandlerFailed, HandlerProcess
from datamill_builder.handlers.sources import UnknownRelease, sources_of
from datamill_builder.store import Store


class CannotList(DatamillError):
    """The handler finds nothing that it can read."""


@dataclass(frozen=True)
class Listed:
    """What a handler found. `splits`: items and records of each; empty where it does not say."""

    handler: str
    version: str
    splits: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return it for people."""
        told = [
            f"{split}: {count['items']} items, {count['records']} records"
            for split, count in self.splits.items()
        ]
        found = "; ".join(told) or "works as one piece, and lists nothing before it is built"
        return f"{self.handler} {self.version}: {found}"


def environment_for(
    handler: str, version: str | None, settings: Settings, environments: Environments
) -> Environment:
    """Return the environment of a handler, the newest version where none is said.

    Raises `UnknownRelease`, and what `Environments.resolve` raises.
    """
    chosen = version or newest_version(sources_of(settings), environments, handler)
    if chosen is None:
        raise UnknownRelease(
            f"no handler {handler} is known by name (`datamill handlers list`): name its --version"
        )
    return environments.resolve(handler, chosen)


def list_raw(
    environment: Environment,
    raw: Path,
    dataset_name: str,
    config: dict[str, Any],
    settings: Settings,
    environments: Environments,
    store: Store,
) -> Listed:
    """Have a handler list the source items in a folder; raise `CannotList`."""
    with environments.holding(environment) as python, store.scratch() as folder:
        label = f"{environment.handler} {environment.package_version}"
        process = HandlerProcess(python, folder, label, settings.handler_memory_bytes)
        try:
            splits = _listed(process, environment, raw, dataset_name, config, settings, folder)
        except HandlerFailed as error:
            raise CannotList(
                f"{label} can't list {raw}: {first_line(error)}; nothing was added: `datamill "
                f"handlers show {environment.handler} {environment.package_version}` says what it "
                "reads"
            ) from error
        finally:
            process.close()
    return Listed(environment.handler, environment.package_version, splits)


def _listed(
    process: HandlerProcess,
    environment: Environment,
    raw: Path,
    dataset_name: str,
    config: dict[str, Any],
    settings: Settings,
    folder: Path,
) -> dict[str, dict[str, int]]:
    info = answers.info(
        process.call(
            "open",
            entry_point=environment.entry_point,
            config=config,
            raw_root=str(settings.raw_folder),
            raw=str(raw),
            dataset_name=dataset_name,
            timeout_secs=settings.open_timeout_secs,
        )
    )
    if info["mode"] == "classic":
        return {}
    plan = folder / "plan"
    plan.mkdir()
    return answers.plan(
        process.call(
            "plan",
            content_key=CONTENT_KEY,
            folder=str(plan),
            timeout_secs=settings.handler_timeout_secs,
        )
    )
