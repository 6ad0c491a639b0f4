"""Every recorded call, sent to openai-forward and to aifd: what differs stands on the list, and the list is true."""

import os
import pathlib

import pytest

from calls import CALLS
from differences import alike, between, entries
from environments import VERSIONS
from fields import shown
from scene import replay, scenes

CASES = [(name, version, call.name) for name, version in scenes() for call in CALLS[name] if version in call.versions]
CLAIMS = [(entry, version, call) for entry in entries() for version in entry.versions for call in entry.calls]
COUNT = {"same": 0, "listed": 0, "open": 0}


def differences_of(name, version, call):
    """What differs in one call, each with the entry that covers it, or None."""
    sides = replay(name, version).get(call, {"theirs": {}, "ours": {}})
    for seen in between(version, f"{name}/{call}", sides):
        yield seen, next((entry for entry in entries() if entry.covers(seen)), None)


@pytest.mark.parametrize(("name", "version", "call"), CASES, ids=lambda value: value)
def test_a_call_differs_only_as_listed(name, version, call):
    judge(name, version, call)


@pytest.mark.parametrize(("name", "version"), [scene for scene in scenes() if "LOG_" in VERSIONS[scene[1]][scene[0]]])
def test_no_line_of_a_log_is_left_over(name, version):
    judge(name, version, "(log)")


def judge(name, version, call):
    found = list(differences_of(name, version, call))
    strange = [seen for seen, entry in found if entry is None]
    COUNT["open" if strange else "listed" if found else "same"] += 1
    note(strange)
    lines = [f"  {seen.field}\n    theirs: {shown(seen.theirs)}\n    ours:   {shown(seen.ours)}" for seen in strange]
    assert not strange, f"{name}/{call} ({version}) differs, and it is not on the list:\n" + "\n".join(lines)


@pytest.mark.parametrize(("entry", "version", "call"), CLAIMS,
                         ids=[f"{entry.id}-{version}-{call}" for entry, version, call in CLAIMS])
def test_a_listed_difference_still_occurs(entry, version, call):
    for name, of, one in CASES + [(name, of, "(log)") for name, of in scenes()]:
        if of == version and alike(call, f"{name}/{one}"):
            sides = replay(name, version).get(one, {"theirs": {}, "ours": {}})
            if any(entry.covers(seen) == call for seen in between(version, f"{name}/{one}", sides)):
                return
    raise AssertionError(f"{entry.id}: {call} does not differ in {entry.fields} any more ({version}): take it off the list")


def note(strange):
    """Keeps what is not on the list, for whoever reads all of it at once."""
    if file := os.environ.get("COMPAT_NOTES"):
        with pathlib.Path(file).open("a", encoding="utf-8") as notes:
            for seen in strange:
                notes.write("\t".join([seen.version, seen.call, seen.field, shown(seen.theirs, 2000), shown(seen.ours, 2000)]) + "\n")
