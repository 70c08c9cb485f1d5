"""The cost of the Django adapter over bare Django, beside djaodjin-deployutils.

Run it with ``nox -s bench -- django``.
"""

from __future__ import annotations

import statistics

import django
from django.db import connection
from django.test.utils import CaptureQueriesContext

from djsession import SessionCodec

from .django_project import handler, prepare_database, with_stack
from .measuring import (
    KEY,
    ROUNDS,
    SIZES,
    Call,
    at_most,
    headline,
    less,
    measure,
    openssl_floor,
    ratio,
    session_of,
    wsgi_call,
)

ROWS = (
    ("nothing", "bare"),
    ("nothing", "floor"),
    ("nothing", "djsession"),
    ("nothing", "deployutils"),
    ("query", "bare"),
    ("whoami", "djsession"),
    ("whoami", "djsession, no database"),
    ("whoami", "deployutils"),
)
#: What a view that reads nothing may add to bare Django: in floors, and of what deployutils adds.
FLOORS_TARGET, ADDED_TARGET = 3.0, 0.10
#: What a view that reads the user may take: of what it takes with deployutils, and of what it takes
#: bare Django to answer with one query for the user, plus the decoding.
WHOLE_TARGET, PARTS_TARGET = 0.50, 1.25


def main() -> None:
    prepare_database()
    size = SIZES[0]
    token = SessionCodec(KEY).dumps(session_of(size))
    calls: dict[str, Call] = {}
    stacks: dict[str, str] = {"floor": "bare", "decoding": "bare"}
    queries: dict[str, int] = {}
    for view, stack in ROWS:
        name = f"{view}: {stack}"
        stacks[name] = stack
        calls[name] = wsgi_call(handler(stack), f'sessionid="{token}"', f"/{view}")
        with with_stack(stack):
            calls[name]()
            with CaptureQueriesContext(connection) as captured:
                calls[name]()
        queries[name] = len(captured)
    codec = SessionCodec(KEY)
    calls["floor"] = lambda: openssl_floor(token, KEY.encode())
    calls["decoding"] = lambda: codec.loads(token)
    times = measure(calls, lambda name: with_stack(stacks[name]))

    parts = [a + b for a, b in zip(times["query: bare"], times["decoding"], strict=True)]
    added = {name: less(times[name], times["nothing: bare"]) for name in times}
    headline(
        f"Django {django.__version__} on SQLite",
        f"a session with {size} characters of JSON",
        f"medians of {ROUNDS} interleaved rounds",
    )
    columns = "{:<32} {:>7} {:>8} {:>8} {:>7}  {}"
    print("\n" + columns.format("view: with", "queries", "us", "added", "floors", "target"))
    for name in queries:
        view, _, stack = name.partition(": ")
        floors = ratio(added[name], times["floor"])
        targets = []
        if stack.startswith("djsession") and view == "nothing":
            of_peer = ratio(added[name], added["nothing: deployutils"])
            targets = [
                f"floors: {at_most(FLOORS_TARGET, floors)}",
                f"added, of deployutils: {of_peer:.2f}, {at_most(ADDED_TARGET, of_peer)}",
            ]
        elif stack.startswith("djsession"):
            of_peer = ratio(times[name], times["whoami: deployutils"])
            targets = [f"us, of deployutils: {of_peer:.2f}, {at_most(WHOLE_TARGET, of_peer)}"]
            if stack == "djsession":
                of_parts = ratio(times[name], parts)
                targets.append(
                    f"of query and decoding: {of_parts:.2f}, {at_most(PARTS_TARGET, of_parts)}"
                )
        us, more = (f"{statistics.median(item):.1f}" for item in (times[name], added[name]))
        line = columns.format(name, queries[name], us, more, f"{floors:.2f}", "; ".join(targets))
        print(line.rstrip())
    print()


if __name__ == "__main__":
    main()
