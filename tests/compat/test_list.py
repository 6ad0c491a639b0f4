"""The list of differences and the page that tells people of them say the same."""

import re

from differences import entries
from servers import ROOT

PAGE = ROOT / "docs/from-openai-forward.md"
POINT = re.compile(r"^- \*\*(D\d+)\*\* (.*?)(?=^- |^\S|\Z)", re.DOTALL | re.MULTILINE)
NAMES = re.compile(r"\.((?:\s+`[^`]+`)+)\s*\Z")


def cited():
    """The names at the end of each point: [(point, name), ...]."""
    part = PAGE.read_text(encoding="utf-8").partition("\n## 4. ")[2].partition("\n## 5. ")[0]
    points = POINT.findall(part)
    assert len({point for point, _ in points}) == len(points) > 40, "the points have changed their form, or two have one number"
    ends = [(point, NAMES.search(text)) for point, text in points]
    return [(point, name) for point, end in ends if end for name in re.findall(r"`([^`]+)`", end[1])]


def test_each_difference_is_told_once():
    names = [name for _, name in cited()]
    assert sorted(names) == sorted({entry.id for entry in entries()})


def test_points_and_faults_speak_of_points_that_exist():
    text = PAGE.read_text(encoding="utf-8")
    known = set(re.findall(r"^- \*\*(D\d+)\*\*", text, re.MULTILINE))
    assert {point for point in re.findall(r"\bD\d+\b", text)} == known
