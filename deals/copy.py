"""Rows into Postgres by COPY: into a temporary table (COPY is refused under row level security), then one statement."""

import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})


def _array(values: Sequence[Any]) -> str:
    quoted = ('"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)
    return "{" + ",".join(quoted) + "}"


def _text(value: Any) -> str:
    if value is None:
        return "\\N"
    if value is True or value is False:
        return "t" if value else "f"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        value = _array(value)
    return str(value).translate(_ESCAPES)


def load(cursor: CursorWrapper, name: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> None:
    """Put `rows` into the temporary table `name` with `columns` (name → SQL type), emptied first.

    It lives as long as the session and is empty again after the transaction.
    """
    definition = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({definition}) ON COMMIT DELETE ROWS; DELETE FROM {name}")
    lines = ["\t".join(map(_text, row)) + "\n" for row in rows]
    if lines:  # most of a page's tables are empty, and what joins an empty one needs no statistics
        cursor.copy_expert(f"COPY {name} ({', '.join(columns)}) FROM STDIN", io.StringIO("".join(lines)))
        cursor.execute(f"ANALYZE {name}")
