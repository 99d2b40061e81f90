"""What is put into Postgres by COPY is what comes out."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from deals.copy import line, load

COLUMNS = {"number": "integer", "said": "text", "moment": "timestamptz", "said_again": "text", "many": "text[]"}
NOON = datetime(2026, 3, 29, 12, 0, 0, 123456, tzinfo=UTC)
TEXTS = [
    "",
    "plain",
    "Zoé",
    "a\tb",
    "a\nb",
    "a\rb",
    "\\",
    "\\N",
    "\\.",
    "\\t",
    "a\\\tb\n",
    "\x01",
    '"',
    "{a,b}",
    "NULL",
    "🙂",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_survives_whatever_is_in_it(db: None, text: str) -> None:
    rows: list[tuple[Any, ...]] = [
        (1, text, NOON, "", [text, "other"]),
        (2, "", None, text, []),
        (3, text, None, text, None),
        (None, text, NOON, text, (text,)),
    ]
    with connection.cursor() as cursor:
        load(cursor, "copied", COLUMNS, rows)
        cursor.execute("SELECT * FROM copied ORDER BY number NULLS LAST")
        stored = [tuple(list(cell) if isinstance(cell, tuple) else cell for cell in row) for row in rows]
        assert cursor.fetchall() == stored


def test_what_postgres_cannot_hold_is_left_out(db: None) -> None:
    with connection.cursor() as cursor:
        load(cursor, "copied", COLUMNS, [(1, "a\0b", None, "\0", ["\0c"])])
        cursor.execute("SELECT said, said_again, many FROM copied")
        assert cursor.fetchall() == [("ab", "", ["c"])]


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "\\N"), (True, "t"), (False, "f"), (0, "0"), (Decimal("1.50"), "1.50"), (date(2026, 3, 1), "2026-03-01")],
)
def test_a_value_is_told_by_its_type(value: object, told: str) -> None:
    assert line([value]) == f"{told}\n"
