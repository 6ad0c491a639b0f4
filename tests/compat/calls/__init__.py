"""The recorded calls, by environment, in the order in which they are replayed: counters and cycles depend on it."""

from calls.failures import FAILURES
from calls.limits import LIMITS
from calls.memory import MEMORY
from calls.openai import OPENAI
from calls.people import PEOPLE
from calls.routes import ROUTES

TABLES = [OPENAI, ROUTES, PEOPLE, LIMITS, MEMORY, FAILURES]
CALLS = {}
for table in TABLES:
    for name, calls in table.items():
        CALLS.setdefault(name, []).extend(calls)
for name, calls in CALLS.items():
    assert len({call.name for call in calls}) == len(calls), f"two calls of {name} have one name"
