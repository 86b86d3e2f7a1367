"""Templates, and what a browser may do with what they make."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from datamill_builder.catalog.differences import Untold
from datamill_notifier.live import assets, plots, written
from datamill_notifier.live.compare import Compared
from datamill_notifier.live.dataset import DatasetPage
from datamill_notifier.live.main_page import MainPage, given_options
from datamill_notifier.live.sample import ClassCounts

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What a browser may do with a page: nothing beyond this server, no script or style inside it."""

_AT_ROOT = ""
_BELOW_PAGE = "../"


def main_page(found: MainPage, text: str) -> str:
    """Return the main page; `text` is what the filter says. Links are relative."""
    return _rendered("main.html", _AT_ROOT, "events", page=found, text=text)


def dataset_page(found: DatasetPage) -> str:
    """Return the page of one dataset."""
    events = f"../events?dataset={found.view.dataset_id}"
    return _rendered("dataset.html", _BELOW_PAGE, events, page=found)


def compare_page(found: Compared) -> str:
    """Return two datasets side by side."""
    ids = found.ours.dataset_id, found.theirs.dataset_id
    events = "../events?dataset={}&dataset={}".format(*ids)
    return _rendered("compare.html", _BELOW_PAGE, events, page=found)


def problem_page(title: str, message: str, *, goes_away: bool = False) -> str:
    """Return a page that says why there is no other, and asks again where that may help."""
    said = {"title": title, "message": message, "goes_away": goes_away}
    return _rendered("problem.html", _BELOW_PAGE, "", **said)


def _rendered(template: str, root: str, events: str, **values: Any) -> str:
    shared = {"root": root, "events": events, "version": assets.version()}
    return _environment().get_template(template).render(**shared, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("datamill_notifier.live"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(written, name) for name in written.__all__ if name != "names"
    }
    environment.globals |= {
        "asset": _asset_address,
        "bar": plots.bar,
        "columns": plots.columns,
        "given_options": given_options,
        "is_class_counts": lambda found: isinstance(found, ClassCounts),
        "is_untold": lambda value: isinstance(value, Untold),
    }
    return environment


def _asset_address(root: str, name: str) -> str:
    return f"{root}page/static/{name}?v={assets.assets()[name].version}"
