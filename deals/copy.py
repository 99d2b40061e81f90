"""Rows into Postgres by COPY: into a temporary table (COPY is refused under row level security), then one statement."""

import io
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

from deals.plans import FEW

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})


def _array(values: Sequence[Any]) -> str:
    quoted = ('"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)
    return "{" + ",".join(quoted) + "}"


# How a value is told, by its type; a text as it is, whatever else as `str` has it.
_TOLD: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "\\N",
    bool: lambda value: "t" if value else "f",
    int: str,
    datetime: datetime.isoformat,
    date: date.isoformat,
    list: _array,
    tuple: _array,
}


def line(row: Sequence[Any]) -> str:
    """A row as COPY reads it, with its end."""
    told = [value if type(value) is str else _TOLD.get(type(value), str)(value) for value in row]
    text = "\t".join(told)
    # Hardly any row has something to escape, and a look at the whole tells: a NULL has a backslash of its own.
    if (
        text.count("\t") >= len(row)
        or text.count("\\") > row.count(None)
        or "\n" in text
        or "\r" in text
        or "\0" in text
    ):
        text = "\t".join(
            cell if value is None else cell.translate(_ESCAPES) for cell, value in zip(told, row, strict=True)
        )
    return text + "\n"


def load(cursor: CursorWrapper, name: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> None:
    """Put `rows` into the temporary table `name` with `columns` (name → SQL type), emptied first.

    It lives as long as the session and is empty again after the transaction.
    """
    load_lines(cursor, name, columns, map(line, rows))


def load_lines(cursor: CursorWrapper, name: str, columns: dict[str, str], lines: Iterable[str]) -> None:
    """As `load`, of rows that `line` has told."""
    definition = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({definition}) ON COMMIT DELETE ROWS; DELETE FROM {name}")
    told = list(lines)
    if text := "".join(told):  # most of a page's tables are empty, and what joins an empty one needs no statistics
        cursor.copy_expert(f"COPY {name} ({', '.join(columns)}) FROM STDIN", io.StringIO(text))
        if len(told) > FEW:  # how many there are, and how they are spread over what they are joined by
            cursor.execute(f"ANALYZE {name} ({next(iter(columns))})")
