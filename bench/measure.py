"""Clocks, medians, the yardstick, and the one JSON line that each figure is."""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from time import perf_counter
from typing import Any, TypeVar

from django.db import connection, transaction

from accounts.tenancy import tenant
from bench.dataset import Dataset

T = TypeVar("T")

FLOOR = """
SELECT count(*), sum(n), max(latest) FROM (
    SELECT deal_id, count(*) AS n, max(occurred_at) AS latest FROM deals_dealactivity
    WHERE organisation_id = %s GROUP BY deal_id
) floor
"""


def report(
    name: str,
    value: float,
    unit: str,
    floor: float,
    goal: tuple[str, str, float] | None = None,
    **more: Any,
) -> None:
    """Print one figure. `goal`: (the field it is about, "≤" or "≥", the limit), told with whether it is met."""
    line = {"name": name, "value": value, "unit": unit, "floor": floor, "ratio": value / floor, **more}
    line = {key: float(f"{one:.4g}") if isinstance(one, float) else one for key, one in line.items()}
    if goal:
        field, sign, limit = goal
        line |= {"goal": f"{field} {sign} {limit:g}"}
        line |= {"ok": line[field] <= limit if sign == "≤" else line[field] >= limit}
    print(json.dumps(line, ensure_ascii=False), flush=True)  # noqa: T201


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    start = perf_counter()
    result = work()
    return perf_counter() - start, result


def typical(work: Callable[[], T], times: int = 5, undo: bool = False) -> tuple[float, T]:
    """The median of `times` runs after one that warms up, and the last result.

    `undo`: inside a transaction, each run is rolled back, which is not timed.
    """
    taken = []
    for _ in range(times + 1):
        gc.collect()
        point = transaction.savepoint() if undo else None
        once, result = seconds(work)
        if point:
            transaction.savepoint_rollback(point)
        taken.append(once)
    return median(taken[1:]), result


@contextmanager
def serial(data: Dataset) -> Iterator[None]:
    """A transaction inside the organisation, on one core of the database."""
    with tenant(data.organisation):
        execute("SET LOCAL max_parallel_workers_per_gather = 0")
        yield


def execute(sql: str, params: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def fetch(sql: str, params: Any = None) -> tuple[Any, ...]:
    """The only row of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def scan_floor(data: Dataset) -> float:
    """Seconds for one scan of the history, which every figure of the evaluation is held against. Inside `serial`."""
    return typical(lambda: fetch(FLOOR, [data.organisation.pk]), times=7)[0]
