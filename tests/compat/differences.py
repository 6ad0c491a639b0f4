"""The list of differences: what it says, and whether a difference that was seen stands on it.

A value on the list is a text in which `*` stands for anything. So the list says how both sides answer, not only
that they differ. An entry holds for all of its calls: each of them (each pattern, in each version) must differ so.
"""

import functools
import pathlib
import re
import tomllib
import typing

FILE = pathlib.Path(__file__).with_name("differences.toml")
KEYS = {"id", "calls", "field", "theirs", "ours", "reason", "versions"}
NOTHING = "(nothing)"


class Seen(typing.NamedTuple):
    """One difference as it was seen: `call` is environment/name."""

    version: str
    call: str
    field: str
    theirs: str
    ours: str


class Entry(typing.NamedTuple):
    """One line of the list."""

    id: str
    calls: tuple
    fields: tuple
    theirs: str
    ours: str
    versions: tuple
    reason: str

    def covers(self, seen):
        """The pattern of a call that the difference falls under, or None."""
        if seen.version not in self.versions or not any(alike(field, seen.field) for field in self.fields):
            return None
        if not (alike(self.theirs, seen.theirs) and alike(self.ours, seen.ours)):
            return None
        return next((call for call in self.calls if alike(call, seen.call)), None)


@functools.cache
def entries():
    """The list, read and checked."""
    found = []
    for raw in tomllib.loads(FILE.read_text(encoding="utf-8"))["difference"]:
        assert raw.keys() <= KEYS and raw.keys() >= KEYS - {"versions"}, f"{raw.get('id')}: needs {sorted(KEYS)}"
        versions = tuple(raw.get("versions", ("0.6.7", "0.8.1")))
        found.append(Entry(raw["id"], tuple(listed(raw["calls"])), tuple(listed(raw["field"])), raw["theirs"], raw["ours"],
                           versions, raw["reason"]))
    return found


def listed(value):
    return [value] if isinstance(value, str) else value


@functools.cache
def _pattern(text):
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)


def alike(pattern, text):
    """Whether a text is what a pattern with `*` says."""
    return _pattern(pattern).fullmatch(text) is not None


def between(version, name, sides):
    """The differences of one call."""
    theirs, ours = sides["theirs"], sides["ours"]
    alone = "0" in (theirs.get("sent"), ours.get("sent"))  # one of them asked no host: "sent" says it all
    for field in dict.fromkeys([*theirs, *ours]):
        if alone and field.startswith("up."):
            continue
        one, two = theirs.get(field, NOTHING), ours.get(field, NOTHING)
        if one != two:
            yield Seen(version, name, field, one, two)
