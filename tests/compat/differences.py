"""The list of differences: what it says, and whether a difference that was seen stands on it.

A value on the list is a text in which `*` stands for anything. So the list says how both sides answer, not only
that they differ. Where each of its calls has a value of its own, the values are a list beside the list of calls.
An entry must be true as a whole: in each of its versions, each of its calls must differ in one
of its fields, and each of its fields in one of its calls.
"""

import functools
import pathlib
import re
import tomllib
import typing

FILE = pathlib.Path(__file__).with_name("differences.toml")
KEYS = {"id", "calls", "theirs", "ours", "reason", "versions"}
NOTHING = "(nothing)"


class Seen(typing.NamedTuple):
    """One difference as it was seen: `call` is environment/name."""

    version: str
    call: str
    field: str
    theirs: str
    ours: str


class Entry(typing.NamedTuple):
    """One line of the list; `fields` holds the two patterns of a value, for each call, by the pattern of its field."""

    id: str
    calls: tuple
    fields: dict
    versions: tuple
    reason: str

    def covers(self, seen):
        """The patterns of the call and the field that the difference falls under, or None."""
        if seen.version not in self.versions:
            return None
        at = next((at for at, call in enumerate(self.calls) if alike(call, seen.call)), None)
        if at is None:
            return None
        field = next((field for field, (theirs, ours) in self.fields.items()
                      if alike(field, seen.field) and alike(theirs[at], seen.theirs) and alike(ours[at], seen.ours)), None)
        return (self.calls[at], field) if field else None


@functools.cache
def entries():
    """The list, read and checked."""
    found = []
    for raw in tomllib.loads(FILE.read_text(encoding="utf-8"))["difference"]:
        name = raw.get("id")
        assert raw.keys() <= KEYS and raw.keys() >= KEYS - {"versions"}, f"{name}: needs {sorted(KEYS)}"
        theirs, ours = raw["theirs"], raw["ours"]
        assert theirs.keys() == ours.keys(), f"{name}: theirs and ours speak of different fields"
        calls = tuple(listed(raw["calls"]))
        fields = {field: (each(theirs[field], calls), each(ours[field], calls)) for field in theirs}
        assert all(len(values) == len(calls) for pair in fields.values() for values in pair), f"{name}: one value for each call"
        versions = tuple(raw.get("versions", ("0.6.7", "0.8.1")))
        found.append(Entry(name, calls, fields, versions, raw["reason"]))
    assert len({entry.id for entry in found}) == len(found), "two entries have one id"
    return found


def listed(value):
    return [value] if isinstance(value, str) else value


def each(value, calls):
    """The value of each call: one for all, or as many as there are calls."""
    return [value] * len(calls) if isinstance(value, str) else value


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
