"""Statements whose plan is kept in the database session: for a few rows, which take less time than planning how."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.utils import CursorWrapper

FEW = 20  # rows
KEPT = 100  # statements in a session; a plan may take some megabytes there

_numbers = count()
# Of each session the names of its statements, the one that was used last at the end.
_sessions: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()


def execute_for(rows: int, cursor: CursorWrapper, sql: str, scope: Mapping[str, Any]) -> None:
    """Run `sql` with the values of `scope` for its places %(name)s, each of which it has: for a few `rows` by a plan
    that is kept."""
    if rows > FEW:
        cursor.execute(sql, scope)
    else:
        execute(cursor, sql % {name: f"${n}" for n, name in enumerate(scope, start=1)}, [*scope.values()])


def execute(cursor: CursorWrapper, sql: str, values: Sequence[Any]) -> None:
    """Run `sql`, with `values` for its places $1, $2 and so on, by one plan for whatever values. In a transaction."""
    kept = _sessions.setdefault(cursor.connection, {})
    prepare = ""
    if (name := kept.pop(sql, "")) == "":
        # Never a name of before: whether a PREPARE that was followed by an error took place is not known.
        name = f"kept_{next(_numbers)}"
        prepare = f"PREPARE {name} AS {sql}; ".replace("%", "%%")
        if len(kept) >= KEPT:
            prepare = f"DEALLOCATE {kept.pop(next(iter(kept)))}; {prepare}"
    cursor.execute(
        f"{prepare}SET LOCAL plan_cache_mode = force_generic_plan; EXECUTE {name} ({', '.join(['%s'] * len(values))})",
        values,
    )
    kept[sql] = name
