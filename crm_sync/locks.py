"""Locks among processes that die with whoever holds them (PostgreSQL's advisory locks of a session)."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

# "VC" and "VW", among the advisory locks of this database.
_CONVERSATION, _WAITING = 0x5643, 0x5657


@contextmanager
def claim(kind: int, connection_id: int) -> Iterator[bool]:
    """Whether this process alone is at work of this `kind` (a number among the locks of this database)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [kind, connection_id])
        claimed = cursor.fetchone()[0]
    try:
        yield claimed
    finally:
        if claimed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [kind, connection_id])


@contextmanager
def conversation(connection_id: int, patience: int | None = None) -> Iterator[bool]:
    """From asking a CRM to writing its answer: one such at a time for a connection, in the order of asking.

    The time of change of a record does not tell two readings within a second apart (Pipedrive's is in whole seconds):
    an answer that was overtaken on its way would replace a newer one for good. False when another one is under way for
    longer than `patience` seconds, or somebody waits with patience already; None waits.
    """
    taken = _take(connection_id) if patience is None else _wait_as_the_only_one(connection_id, patience)
    try:
        yield taken
    finally:
        if taken:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_CONVERSATION, connection_id])


def _take(connection_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", [_CONVERSATION, connection_id])
    return True


def _wait_as_the_only_one(connection_id: int, patience: int) -> bool:
    """Workers are few: one may wait for a CRM that hangs, the next one has others to serve."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_WAITING, connection_id])
        if not cursor.fetchone()[0]:
            return False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{patience}s"])
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [_CONVERSATION, connection_id])
    except OperationalError:
        if not connection.is_usable():
            raise
        return False
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_WAITING, connection_id])
    return True
