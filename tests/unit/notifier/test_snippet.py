"""The Python that gets a dataset is Python, and asks for that dataset."""

from __future__ import annotations

import ast
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from datamill_builder.catalog.differences import Side
from datamill_notifier.snippet import snippet

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


def arguments(code: str) -> list[Any]:
    calls = [each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Call)]
    (call,) = (each for each in calls if ast.unparse(each.func) == "datamill.request_dataset")
    return [ast.literal_eval(argument) for argument in call.args]


@given(config=st.dictionaries(st.text(), json_values, max_size=6))
def test_it_asks_for_the_same(config: dict[str, Any]) -> None:
    assert arguments(snippet(Side("duts", "1.0.0", config))) == ["duts", "1.0.0", config]


def test_short_ones_are_one_line() -> None:
    code = snippet(Side("duts", "1.0.0", {"image_size": [1024, 1024], "mirror": True}))
    assert (
        'dataset = datamill.request_dataset(\n    "duts",\n    "1.0.0",\n    '
        "{'image_size': [1024, 1024], 'mirror': True},\n)\n"
    ) in code
    assert 'dataset = datamill.request_dataset("toy", "1", {})\n' in snippet(Side("toy", "1", {}))
    assert max(len(line) for line in code.splitlines()) < 80
