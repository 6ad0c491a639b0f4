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
NAMES = [(version, f"{name}/{call}") for name, version, call in CASES] \
    + [(version, f"{name}/(log)") for name, version in scenes()]
CLAIMS = [(entry, version) for entry in entries() for version in entry.versions]
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
    own = [entry for _, entry in found if entry and entry.calls != ("*",)]
    COUNT["open" if strange else "listed" if own else "same"] += 1
    note(strange)
    lines = [f"  {seen.field}\n    theirs: {shown(seen.theirs)}\n    ours:   {shown(seen.ours)}" for seen in strange]
    if strange:
        head = f"{name}/{call} ({version}) differs, and it is not on the list:"
        pytest.fail("\n".join([head, *lines]), pytrace=False)


@pytest.mark.parametrize(("entry", "version"), CLAIMS, ids=[f"{entry.id}-{version}" for entry, version in CLAIMS])
def test_a_listed_difference_still_occurs(entry, version):
    met = {pattern for covered in occurrences(entry, version) for pattern in covered}
    known = [pattern for pattern in entry.calls if any(alike(pattern, call) for of, call in NAMES if of == version)]
    assert known, f"{entry.id}: no call of {version} is called {', '.join(entry.calls)}"
    gone = [pattern for pattern in [*known, *entry.fields] if pattern not in met]
    if gone:
        pytest.fail(f"{entry.id} ({version}): does not differ any more, take it off the list: {', '.join(gone)}", pytrace=False)


def occurrences(entry, version):
    """The patterns of an entry that a difference fell under, in all the calls that it speaks of."""
    for of, name in NAMES:
        if of == version and any(alike(pattern, name) for pattern in entry.calls):
            scene, _, call = name.partition("/")
            sides = replay(scene, version).get(call, {"theirs": {}, "ours": {}})
            yield from filter(None, map(entry.covers, between(version, name, sides)))


def note(strange):
    """Keeps what is not on the list, for whoever reads all of it at once."""
    if file := os.environ.get("COMPAT_NOTES"):
        with pathlib.Path(file).open("a", encoding="utf-8") as notes:
            for seen in strange:
                notes.write("\t".join([seen.version, seen.call, seen.field, shown(seen.theirs, 2000), shown(seen.ours, 2000)]) + "\n")
