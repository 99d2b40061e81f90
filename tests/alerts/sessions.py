"""A second database session beside the test's own, as another process has one."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection

from tests.world import World


@contextmanager
def held(w: World, ref: str = "d") -> Iterator[None]:
    """Another session has locked the deal's row: an evaluation that writes to it waits until the end of the block."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN; SELECT set_config('app.org_id', %s, true)", [str(w.organisation.pk)])
            cursor.execute("SELECT FROM deals_deal WHERE external_id = %s FOR NO KEY UPDATE", [ref])
            assert cursor.rowcount == 1
        yield
    finally:
        other.close()


def waiting() -> int:
    """How many sessions of this database wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


def in_background(work: Callable[..., Any], *args: Any) -> "Future[Any]":
    """`work` in a thread with a database session of its own, as another worker has one."""

    def run() -> Any:
        try:
            return work(*args)
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(run)
    finally:
        pool.shutdown(wait=False)
