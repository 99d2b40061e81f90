"""Applies a change of the mapping to what is stored, without asking the CRM: in small steps that a restart keeps."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection as database
from django.db.models import F

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import queue
from alerts.tasks import evaluate_changed
from crm_sync import activity_types, locks
from crm_sync.models import Connection, Reapplication
from deals import meaning
from deals.clock import Clock

STEP = 1_000  # activities of one transaction
LOCK = 0x5652  # "VR": among the advisory locks of this database


def begin(connection: Connection, at: datetime, *, types: bool = False, domains: Iterable[str] = ()) -> None:
    """Have the worker apply it; what is under way already is taken in and begins anew. In the caller's transaction."""
    from crm_sync.tasks import reapply

    mine = Reapplication.objects.filter(organisation=connection.organisation_id, connection=connection)
    mine.exclude(finished_at=None).delete()
    row, _ = mine.select_for_update().get_or_create(
        finished_at=None,
        defaults={"organisation_id": connection.organisation_id, "connection": connection, "asked_at": at},
    )
    row.types, row.domains = row.types or types, sorted({*row.domains, *domains})
    row.total, row.done, row.last = None, 0, 0
    row.save()
    reapply.delay_on_commit(connection.organisation_id, connection.pk)  # type: ignore[attr-defined]


def begin_domains(organisation: Organisation, at: datetime, domains: Iterable[str]) -> None:
    """Who took part by an address in one of `domains` is looked at anew, in all that was read from any CRM."""
    for connection in organisation.connections.exclude(state=Connection.State.DELETING).order_by("pk"):
        begin(connection, at, domains=domains)


def waiting() -> list[int]:
    """Connections of the tenant at hand with a change to apply."""
    return list(Reapplication.objects.filter(finished_at=None).values_list("connection", flat=True))


def step(organisation_id: int, connection_id: int, now: datetime) -> bool:
    """Apply it to some activities in a transaction of their own; False when nothing is left to be done.

    What is being read by the mapping of before is waited for, so that it is written before this looks for it.
    """
    with locks.conversation(connection_id), tenant(organisation_id):
        mine = Reapplication.objects.filter(connection=connection_id, finished_at=None)
        row = mine.select_for_update(of=("self",)).select_related("connection__source", "organisation").first()
        if row is None:
            return False
        source, organisation = row.connection.source, row.organisation
        types = activity_types.kinds(row.connection) if row.types else {}
        if row.total is None:
            mine.update(total=_count(row, types))
            return True
        with database.cursor() as cursor:
            cursor.execute(meaning.CONCERNED + " ORDER BY id LIMIT %(step)s", {**_scope(row, types), "step": STEP})
            ids = [found[0] for found in cursor.fetchall()]
        if not ids:
            mine.update(finished_at=now)
            evaluate_changed.delay_on_commit(organisation_id)  # type: ignore[attr-defined]
            return False
        touched = meaning.reapply(source, ids, types, Clock.of(organisation, now))
        if source.first_synced_at:
            queue.mark(organisation, touched)
        mine.update(last=ids[-1], done=F("done") + len(ids))
    return True


def _count(row: Reapplication, types: dict[str, str]) -> int:
    with database.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({meaning.CONCERNED}) found", _scope(row, types))
        return int(cursor.fetchone()[0])


def _scope(row: Reapplication, types: dict[str, str]) -> dict[str, Any]:
    source = row.connection.source
    return meaning.scope(source, types, row.domains) | {"last": row.last}
