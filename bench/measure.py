"""Clocks, medians and the one JSON line that each figure is."""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from django.db import connection, transaction

from accounts.tenancy import tenant
from bench.dataset import Dataset

FLOOR = """
SELECT count(*), sum(n), max(latest) FROM (
    SELECT deal_id, count(*) AS n, max(occurred_at) AS latest FROM deals_dealactivity
    WHERE organisation_id = %s GROUP BY deal_id
) floor
"""


def report(name: str, value: float, unit: str, floor: float | None = None, **more: Any) -> None:
    """`goal`: (what is compared, "≤" or "≥", limit); `ok` says whether it is met."""
    line: dict[str, Any] = {"name": name, "value": _round(value), "unit": unit}
    line["floor"] = None if floor is None else _round(floor)
    line["ratio"] = None if floor is None else _round(value / floor)
    if goal := more.pop("goal", None):
        field, sign, limit = goal
        line["goal"] = f"{field} {sign} {limit}"
        reached = {**line, **more}[field]
        line["ok"] = reached <= limit if sign == "≤" else reached >= limit
    line |= {key: _round(one) if isinstance(one, float) else one for key, one in more.items()}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]


def seconds(work: Callable[[], Any]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def typical(work: Callable[[], Any], times: int = 5) -> float:
    """The median of `times` runs after one that warms up."""
    work()
    gc.collect()
    return median(seconds(work) for _ in range(times))


@contextmanager
def serial(data: Dataset) -> Iterator[None]:
    """Inside the organisation, on one core of the database."""
    with tenant(data.organisation), connection.cursor() as cursor:
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        yield


def run(sql: str, params: Any = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()


def undone(work: Callable[[], Any]) -> Callable[[], float]:
    """`work` timed, in a savepoint that is rolled back afterwards (not timed). Deferred checks count as work."""

    def once() -> float:
        point = transaction.savepoint()
        run("SELECT 1")
        taken = seconds(work)
        transaction.savepoint_rollback(point)
        return taken

    return once


def scan_floor(data: Dataset) -> float:
    """Seconds for one scan of the history: the yardstick. Call it inside `serial`."""
    return typical(lambda: run(FLOOR, [data.organisation.pk]), times=7)
