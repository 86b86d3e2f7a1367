"""What two requests differ in: why they are not one dataset, or which finished one is near.

Pure: over what the catalog knows of a request and, once it is resolved, of its build's recipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any, Literal

from datamill.request import canonical_json
from datamill_builder.catalog.pins import pins

NEAR_AT_MOST = 3
"""What differs in more than so many ways is another dataset, not one that is near."""

_SHOWN_OF_DIGEST = 12
_SHOWN_OF_VALUE = 80
_ARROW = "→"


class Kind(StrEnum):
    """What sort of thing differs."""

    DATASET = "dataset"
    """The dataset's name."""
    OPTION = "option"
    """An option of the config; nested ones by their path, `a.b`."""
    HANDLER = "handler"
    """The handler: its package, the package's version, the class in it."""
    WHEEL = "wheel"
    """The handler package has the same version, and other content."""
    ENVIRONMENT = "environment"
    """A package beside the handler's, or the interpreter."""
    RAW = "raw"
    """The version of the raw data."""
    DATAMILL = "datamill"
    """Nothing that a request says: Datamill itself makes other bytes of it now."""


class Untold(StrEnum):
    """What stands where there is no value to show."""

    ABSENT = "(not there)"
    DEFAULT = "(its default)"
    """The option was not given, and nobody has seen yet what it then is."""


@dataclass(frozen=True)
class Difference:
    """One thing that is `before` on one side and `after` on the other."""

    kind: Kind
    name: str
    before: Any
    after: Any

    @property
    def text(self) -> str:
        """Return `jpeg_quality: 95 → 90`."""
        quoted = self.kind is Kind.OPTION
        before, after = (_shown(value, quoted=quoted) for value in (self.before, self.after))
        return f"{self.name}: {before} {_ARROW} {after}"

    def document(self) -> dict[str, Any]:
        """Return it for programs; a side that has no value is left out."""
        sides = {"before": self.before, "after": self.after}
        told = {name: value for name, value in sides.items() if not isinstance(value, Untold)}
        return {"kind": self.kind.value, "name": self.name, **told, "text": self.text}


@dataclass(frozen=True)
class Side:
    """A request; with the recipe and the content key of its build once it is resolved."""

    dataset_name: str
    handler_version: str
    config: Mapping[str, Any]
    """As it was asked for."""
    recipe: Mapping[str, Any] | None = None
    content_key: str | None = None
    dataset_id: str | None = None
    ready: bool = False
    """Whether its archive is there."""


@dataclass(frozen=True)
class Comparison:
    """Two requests side by side."""

    verdict: Literal["same_request", "same_data", "different", "not_known"]
    """`not_known`: nothing differs as far as can be told before both are resolved."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the verdict as a sentence, the differences left to who shows them."""
        match self.verdict:
            case "same_request":
                return "they are one request: one dataset id"
            case "same_data":
                return "they are the same data: two ids of one content, which is built once"
            case "not_known":
                return "nothing differs, as far as can be told before both were built"
        count = len(self.differences)
        return f"they are not one dataset: {count} difference{'s' * (count != 1)}"

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "verdict": self.verdict,
            "text": self.text,
            "differences": [difference.document() for difference in self.differences],
        }


def compare(one: Side, other: Side, defaults: Mapping[str, Any] | None = None) -> Comparison:
    """Return what two requests differ in.

    `defaults`: of options, for a side that is not resolved; see `known_defaults`.
    """
    if _request(one) == _request(other):
        return Comparison("same_request")
    found = list(_differences(one, other, defaults or {}))
    if one.content_key and other.content_key:
        if one.content_key == other.content_key:
            # Their recipes say the same, but for a version that is spelled in two ways.
            return Comparison("same_data")
        return Comparison("different", found or [_by_datamill()])
    return Comparison("different" if found else "not_known", found)


def known_defaults(sides: Iterable[Side]) -> dict[str, Any]:
    """Return what options are where nobody gives them, as far as resolved requests show it."""
    found: dict[str, Any] = {}
    for side in sides:
        if side.recipe is not None:
            resolved = side.recipe.get("config", {})
            found |= {name: resolved[name] for name in resolved if name not in side.config}
    return found


def nearest(
    asked: Side, finished: Iterable[Side], at_most: int = NEAR_AT_MOST
) -> tuple[Side, list[Difference]] | None:
    """Return the finished one that differs least from a request, if it is near at all.

    Of several that are as near, the first. Options alone may differ, and the handler's version.
    """
    candidates = list(finished)
    alike = [each for each in candidates if each.handler_version == asked.handler_version]
    defaults = known_defaults(alike or candidates)
    best: tuple[Side, list[Difference]] | None = None
    for candidate in candidates:
        # One more than may be is enough to know that it is too far away.
        found = list(islice(_differences(candidate, asked, defaults), at_most + 1))
        if not found and None not in (candidate.content_key, asked.content_key):
            found = [_by_datamill()] if candidate.content_key != asked.content_key else []
        if len(found) <= at_most and (best is None or len(found) < len(best[1])):
            best = candidate, found
    return best


def near_text(dataset_id: str, found: Iterable[Difference]) -> str:
    """Return `differs from 5a57948d1f0c only in jpeg_quality: 95 → 90`."""
    told = "; ".join(difference.text for difference in found)
    short = dataset_id[:_SHOWN_OF_DIGEST]
    return f"differs from {short} only in {told}" if told else f"is the same data as {short}"


def _differences(one: Side, other: Side, defaults: Mapping[str, Any]) -> Iterator[Difference]:
    if one.dataset_name != other.dataset_name:
        yield Difference(Kind.DATASET, "dataset_name", one.dataset_name, other.dataset_name)
    yield from _options(*_configs(one, other, defaults))
    if one.recipe is not None and other.recipe is not None:
        yield from _of_recipes(one.recipe, other.recipe)
    elif not _same_version(one, other):
        versions = one.handler_version, other.handler_version
        yield Difference(Kind.HANDLER, "handler_version", *versions)


def _same_version(one: Side, other: Side) -> bool:
    """Return whether both mean one release, as far as is known: `1.0` may be `1.0.0`."""
    spelled = [
        {side.handler_version, *([side.recipe.get("package_version")] if side.recipe else [])}
        for side in (one, other)
    ]
    return bool(spelled[0] & spelled[1])


def _configs(
    one: Side, other: Side, defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both configs with what is known of their defaults."""
    before, after = _filled(one, other, defaults), _filled(other, one, defaults)
    for name in before.keys() | after.keys():
        # What only one has is not missing on a side that left it to the handler.
        for config, side in ((before, one), (after, other)):
            if side.recipe is None:
                config.setdefault(name, Untold.DEFAULT)
    return before, after


def _filled(side: Side, beside: Side, defaults: Mapping[str, Any]) -> dict[str, Any]:
    if side.recipe is not None:
        return dict(side.recipe.get("config", {}))
    # What neither gave is, of one handler, the same on both sides.
    config = {**defaults, **known_defaults([beside]), **side.config}
    if beside.recipe is not None:
        # Asked for in the same words it is the same, whatever the handler makes of them.
        for name, value in side.config.items():
            if name in beside.config and same_value(beside.config[name], value):
                config[name] = beside.recipe.get("config", {}).get(name, value)
    return config


def _options(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        was, is_now = before.get(name, Untold.ABSENT), after.get(name, Untold.ABSENT)
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            yield from _options(was, is_now, f"{prefix}{name}.")
        elif not same_value(was, is_now):
            yield Difference(Kind.OPTION, f"{prefix}{name}", was, is_now)


def _of_recipes(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what two recipes differ in beside the config."""
    handler = list(_unequal(one, other, Kind.HANDLER, "package", "package_version", "entry_point"))
    yield from handler
    if not handler:  # another version is another wheel anyway
        for wheel in _unequal(one, other, Kind.WHEEL, "wheel_sha256"):
            yield Difference(Kind.WHEEL, "wheel", _short(wheel.before), _short(wheel.after))
    if one.get("lock") != other.get("lock"):
        yield from _of_locks(one.get("lock", ""), other.get("lock", ""))
    for raw in _unequal(one, other, Kind.RAW, "raw_version"):
        yield Difference(Kind.RAW, "raw data", _short(raw.before), _short(raw.after))


def _unequal(
    one: Mapping[str, Any], other: Mapping[str, Any], kind: Kind, *names: str
) -> Iterator[Difference]:
    for name in names:
        before, after = one.get(name, Untold.ABSENT), other.get(name, Untold.ABSENT)
        if before != after:
            yield Difference(kind, name, before, after)


def _of_locks(one: str, other: str) -> Iterator[Difference]:
    before, after = pins(one), pins(other)
    different = sorted(dict(before.items() ^ after.items()))
    for name in different:
        versions = before.get(name, Untold.ABSENT), after.get(name, Untold.ABSENT)
        yield Difference(Kind.ENVIRONMENT, name, *versions)
    if not different:
        yield Difference(Kind.ENVIRONMENT, "files of its packages", "some", "others")


def _by_datamill() -> Difference:
    return Difference(Kind.DATAMILL, "Datamill", "an earlier version", "this one")


def _request(side: Side) -> bytes:
    return canonical_json([side.dataset_name, side.handler_version, dict(side.config)])


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values of an option are the same, as JSON has it."""
    if isinstance(one, Untold) or isinstance(other, Untold):
        return one is other
    if type(one) is type(other) and isinstance(one, (str, bool, int)):
        return bool(one == other)
    # Python says that True is 1; JSON does not.
    return canonical_json(one) == canonical_json(other)


def _short(digest: str) -> str:
    return digest[:_SHOWN_OF_DIGEST]


def _shown(value: Any, *, quoted: bool) -> str:
    if isinstance(value, Untold) or (isinstance(value, str) and not quoted):
        return str(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_OF_VALUE else f"{text[:_SHOWN_OF_VALUE]}…"
