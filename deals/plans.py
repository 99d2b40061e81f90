"""Statements whose plan is kept in the database session: for a few rows, which take less time than planning how."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
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
    """Run `sql` with the values of `scope` for its places %(name)s: for a few `rows` by a plan that is kept."""
    if rows > FEW:
        cursor.execute(sql, scope)
    else:
        text, names = _numbered(sql)
        execute(cursor, text, [scope[name] for name in names])


@lru_cache(1_000)
def _numbered(sql: str) -> tuple[str, list[str]]:
    """With places $1, $2 and so on, and the names that these had."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    return sql % {name: f"${n}" for n, name in enumerate(names, start=1)}, names


def execute(cursor: CursorWrapper, sql: str, values: Sequence[Any]) -> None:
    """Run `sql`, with `values` for its places $1, $2 and so on, by one plan for whatever values. In a transaction."""
    kept = _sessions.setdefault(cursor.connection, {})
    name, prepare = kept.get(sql, ""), ""
    if not name:
        name = f"kept_{next(_numbers)}"
        prepare = f"PREPARE {name} AS {sql}; ".replace("%", "%%")
        if not kept:
            prepare = f"DEALLOCATE ALL; {prepare}"
        elif len(kept) >= KEPT:
            prepare = f"DEALLOCATE {kept.pop(next(iter(kept)))}; {prepare}"
    run = f"SET LOCAL plan_cache_mode = force_generic_plan; EXECUTE {name} ({', '.join(['%s'] * len(values))})"
    try:
        cursor.execute(prepare + run, values)
    except Exception:
        if prepare:  # a PREPARE outlasts the transaction, if it was reached: begin anew
            kept.clear()
        raise
    kept.pop(sql, None)
    kept[sql] = name
