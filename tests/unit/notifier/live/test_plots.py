"""Plots are well-formed, in proportion, and have no style or script of their own."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from datamill_notifier.live.plots import bar, columns

ATTACK = "</title><script>alert(1)</script>\"'"


def fills(svg: str) -> list[ET.Element]:
    return [each for each in ET.fromstring(svg).iter("rect") if each.get("class") == "fill"]


def test_a_bar_is_as_long_as_its_share() -> None:
    for share, width in ((0.375, 37.5), (0, 0), (1, 100), (1.7, 100), (-1, 0)):
        (fill,) = fills(bar(share))
        assert float(fill.get("width", "")) == width


def test_columns_are_in_proportion() -> None:
    drawn = fills(columns([0, 5, 10, 0.001], ["none", "half", "all", "hardly"], "counts"))
    heights = [float(each.get("height", "")) for each in drawn]
    assert heights == [0, 50, 100, 2]
    for each in drawn:
        bottom = float(each.get("y", "")) + float(each.get("height", ""))
        assert bottom == 100
    assert [float(each.get("x", "")) for each in drawn] == [0.1, 1.1, 2.1, 3.1]


def test_nothing_to_plot() -> None:
    assert fills(columns([], [], "nothing")) == []
    assert [each.get("height") for each in fills(columns([0, 0], ["a", "b"], "x"))] == ["0.00"] * 2


def test_words_are_text() -> None:
    svg = columns([1], [ATTACK], ATTACK, ATTACK) + bar(0.5, ATTACK)
    assert "<script" not in svg
    titles = [each.text for each in ET.fromstring(f"<p>{svg}</p>").iter("title")]
    assert titles == [ATTACK]
    assert "style=" not in columns([1, 2], ["a", "b"], "x")
