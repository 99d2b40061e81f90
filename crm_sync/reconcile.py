"""Comparing what is here with all that the CRM holds, once a day and stream: what is missing, extra or stale is named
and repaired (docs/adr/0018-reconciliation.md).

Everything happens in steps of one page, as in `crm_sync.sync`: the ids and versions of the CRM are collected, then
compared in the database, then what differs is asked for by id and written. A kill costs one page.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection as database
from django.db.models import F, Q

from accounts.models import User
from accounts.tenancy import tenant
from alerts import queue
from alerts.tasks import evaluate_changed
from crm_sync import brake, locks, providers, sync, vault
from crm_sync.models import Compared, Connection, Reconciliation
from crm_sync.providers.base import CrmError, MissingPermission, Provider, RateLimited, VersionPage
from deals import removal
from deals.clock import Clock
from deals.copy import load
from deals.records import Batch, Kept
from deals.upsert import upsert

logger = logging.getLogger(__name__)

FETCHED = 100  # ids asked for at once: both CRMs' limit
NAMED = 20  # ids of each kind of difference that a report names
KEEP = timedelta(days=14)
FRAME = ("pipelines", "stages")  # read whole, without versions

_LOCK = 0x5652  # "VR": comparisons, among the advisory locks of this database

Phase = Reconciliation.Phase
Difference = Compared.Difference


def begin_daily(connection: Connection, clock: Clock) -> int:
    """The comparisons of the organisation's local day, unless they have begun; returns how many were made.

    Found again after an outage, never twice. A connection is compared from the day after its first synchronisation on.
    Runs in the caller's tenant context, as does everything here that has no connection's id.
    """
    first = connection.source.first_synced_at
    if connection.state != Connection.State.CONNECTED or first is None:
        return 0
    if first.astimezone(clock.zone).date() >= clock.today:
        return 0
    Reconciliation.objects.filter(connection=connection, finished_at__lt=clock.now - KEEP, is_latest=False).delete()
    return _begin(connection, clock.today.isoformat(), ())


def begin(connection: Connection, streams: Iterable[str] = ()) -> int:
    """Compare `streams` (all when none is named) now; one whose comparison is under way goes on."""
    return _begin(connection, sync.now().isoformat(timespec="microseconds"), streams)


def _begin(connection: Connection, key: str, streams: Iterable[str]) -> int:
    from crm_sync.tasks import reconcile

    every = list(providers.PROVIDERS[connection.provider].compared)
    before = Reconciliation.objects.filter(connection=connection)
    taken = set(before.filter(Q(key=key) | Q(finished_at=None)).values_list("stream", flat=True))
    wanted = [stream for stream in (list(streams) or every) if stream not in taken]
    Reconciliation.objects.bulk_create(
        (
            Reconciliation(
                organisation_id=connection.organisation_id,
                connection=connection,
                stream=stream,
                position=every.index(stream),
                key=key,
                asked_at=sync.now(),
            )
            for stream in wanted
        ),
        ignore_conflicts=True,  # another process was quicker
    )
    if wanted:
        reconcile.delay_on_commit(connection.organisation_id, connection.pk)  # type: ignore[attr-defined]
    return len(wanted)


def release(connection: Connection, stream: str, user: User) -> bool:
    """An admin lets the deletions happen that the brake holds; each is still checked with the CRM once more."""
    from crm_sync.tasks import reconcile

    held = Reconciliation.objects.filter(connection=connection, stream=stream, is_latest=True, held__gt=0)
    if held.filter(connection__reconciliations__stream=stream, connection__reconciliations__finished_at=None).exists():
        return False  # a new comparison is under way, and will say what there is to delete
    released = held.update(
        phase=Phase.REPAIRING,
        finished_at=None,
        is_latest=False,
        left=F("left") - F("held"),
        held=0,
        released_by=user,
        released_at=sync.now(),
    )
    if released:
        reconcile.delay_on_commit(connection.organisation_id, connection.pk)  # type: ignore[attr-defined]
    return bool(released)


def waiting(organisation_id: int) -> list[int]:
    """Connections with a comparison to go on with."""
    due = Reconciliation.objects.filter(
        Q(retry_at=None) | Q(retry_at__lte=sync.now()),
        organisation=organisation_id,
        finished_at=None,
        connection__state=Connection.State.CONNECTED,
    )
    return list(due.order_by("connection").values_list("connection", flat=True).distinct())


@contextmanager
def claim(connection_id: int) -> Iterator[bool]:
    """Whether this process alone compares the connection. The lock ends with the process's database session."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK, connection_id])
        claimed = cursor.fetchone()[0]
    try:
        yield claimed
    finally:
        if claimed:
            with database.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK, connection_id])


def compare(connection: Connection, streams: Iterable[str] = ()) -> None:
    """Compare and repair from beginning to end, in this process."""
    with tenant(connection.organisation_id):
        begin(connection, streams)
    reconciler = Reconciler(connection.organisation_id, connection.pk)
    while reconciler.step():
        pass


class Reconciler:
    """Carries a connection's comparisons on, one page at a time, over one session with the CRM."""

    def __init__(self, organisation_id: int, connection_id: int) -> None:
        self.organisation_id, self.connection_id = organisation_id, connection_id
        self._provider: Provider | None = None
        self._mapping = -1

    def step(self) -> bool:
        """One page; False when nothing is left to do, or all that is has to wait (`retry_at`)."""
        with tenant(self.organisation_id):
            report = (
                Reconciliation.objects.select_related("connection__source", "organisation")
                .filter(Q(retry_at=None) | Q(retry_at__lte=sync.now()), connection=self.connection_id, finished_at=None)
                .filter(connection__state=Connection.State.CONNECTED)
                .order_by("position")
                .first()
            )
            if report is None:
                return False
            if report.started_at is None:
                _start(report)
        try:
            if report.phase == Phase.READING:
                self._read(report)
            else:
                self._mend(report)
        except (CrmError, vault.Unreadable) as error:
            self._provider = None
            with tenant(self.organisation_id):
                _trouble(report, error)
        return True  # the other streams may do

    def _reach(self, connection: Connection) -> Provider:
        """The provider, made anew when the mapping has changed."""
        with tenant(self.organisation_id):
            mapping = Connection.objects.values_list("mapping_version", flat=True).get(pk=connection.pk)
        if self._provider is None or mapping != self._mapping:
            self._provider, self._mapping = sync.provider_of(connection), mapping
        return self._provider

    def _read(self, report: Reconciliation) -> None:
        page = self._reach(report.connection).versions(report.stream, report.cursor)
        with tenant(self.organisation_id):
            if _is_as(report):
                _collect(report, page)

    def _mend(self, report: Reconciliation) -> None:
        with tenant(self.organisation_id):
            ids = _next(report)
            if not ids:
                _finish(report)
                return
        with locks.conversation(self.connection_id):
            batch, gone = _ask(self._reach(report.connection), report.stream, [one.external_id for one in ids])
            with tenant(self.organisation_id):
                if _is_as(report):
                    _repair(report, ids, batch, gone)


def _kind(report: Reconciliation) -> Kept:
    return providers.PROVIDERS[report.connection.provider].compared[report.stream]


def _start(report: Reconciliation) -> None:
    # What an earlier comparison of the stream found is told by its report.
    old = Reconciliation.objects.filter(connection=report.connection, stream=report.stream).exclude(pk=report.pk)
    Compared.objects.filter(reconciliation__in=old).delete()
    report.started_at = sync.now()
    report.save(update_fields=["started_at"])


def _is_as(report: Reconciliation) -> bool:
    """Locks the report; whether it stands where it stood when the CRM was asked."""
    now = Reconciliation.objects.select_for_update().filter(pk=report.pk).values_list("phase", "cursor", "finished_at")
    return now.first() == (report.phase, report.cursor, None)


def _collect(report: Reconciliation, page: VersionPage) -> None:
    """Keep the ids of one page, and compare after the last."""
    with database.cursor() as cursor:
        columns = {"external_id": "text", "updated_at": "timestamptz", "archived": "boolean"}
        load(cursor, "incoming_version", columns, [(v.external_id, v.updated_at, v.archived) for v in page.versions])
        cursor.execute(
            """
            INSERT INTO crm_sync_compared
                (organisation_id, reconciliation_id, external_id, updated_at, archived, difference)
            SELECT DISTINCT ON (external_id) %s, %s, external_id, updated_at, archived, '' FROM incoming_version
            ORDER BY external_id, updated_at DESC
            ON CONFLICT (organisation_id, reconciliation_id, external_id) DO UPDATE
            SET updated_at = excluded.updated_at, archived = excluded.archived
            """,
            [report.organisation_id, report.pk],
        )
    report.cursor, report.pages = page.cursor, report.pages + 1
    report.problem, report.attempts, report.retry_at = "", 0, None
    if page.cursor is None:
        _compare(report)
    report.save()


def _compare(report: Reconciliation) -> None:
    """Say what differs: `difference` of the collected ids, and the ids that are here alone."""
    kind, source = _kind(report), report.connection.source
    table, mine = removal.TABLES[kind], brake.rows_of(report.stream, kind)
    scope = {
        "org": report.organisation_id,
        "report": report.pk,
        "source": source.pk,
        # What changed later may still be on its way: in the CRM's index, or in the next synchronisation.
        "settled": _settled_until(report),
        "named": NAMED,
    }
    columns = {"external_id": "text", "updated_at": "timestamptz", "archived": "boolean", "deleted": "boolean"}
    updated, archived = ("NULL" if kind in FRAME else "updated_at"), ("archived" if kind == "deals" else "false")
    with database.cursor() as cursor:
        # Temporary tables can be analysed, and a full join of them is never a loop in a loop.
        for name in ("theirs", "ours"):
            load(cursor, name, columns, ())
        cursor.execute(
            "INSERT INTO theirs SELECT external_id, updated_at, archived, false FROM crm_sync_compared "
            "WHERE organisation_id = %(org)s AND reconciliation_id = %(report)s",
            scope,
        )
        report.in_crm = cursor.rowcount
        cursor.execute(
            f"INSERT INTO ours SELECT external_id, {updated}, {archived}, deleted FROM {table} t "
            f"WHERE organisation_id = %(org)s AND source_id = %(source)s AND {mine}",
            scope,
        )
        cursor.execute(
            "ANALYZE theirs; ANALYZE ours; "
            "DELETE FROM crm_sync_compared WHERE organisation_id = %(org)s AND reconciliation_id = %(report)s",
            scope,
        )
        cursor.execute(
            f"""
            INSERT INTO crm_sync_compared
                (organisation_id, reconciliation_id, external_id, updated_at, archived, difference)
            SELECT %(org)s, %(report)s, COALESCE(i.external_id, t.external_id), i.updated_at,
                   COALESCE(i.archived, false), CASE WHEN i.external_id IS NULL THEN 'extra'
                   WHEN t.external_id IS NULL OR t.deleted THEN 'missing' ELSE 'stale' END
            FROM theirs i FULL JOIN ours t ON t.external_id = i.external_id
            WHERE COALESCE(COALESCE(i.updated_at, t.updated_at) <= %(settled)s, true) AND CASE
                WHEN i.external_id IS NULL THEN NOT t.deleted
                WHEN t.external_id IS NULL OR t.deleted THEN true
                ELSE COALESCE(i.updated_at > t.updated_at, false)
                     {"OR i.archived <> t.archived" if kind == "deals" else ""} END
            """,
            scope,
        )
        cursor.execute(
            """
            SELECT difference, count(*), (array_agg(external_id ORDER BY id))[1:%(named)s] FROM crm_sync_compared
            WHERE organisation_id = %(org)s AND reconciliation_id = %(report)s GROUP BY difference
            """,
            scope,
        )
        for difference, count, ids in cursor.fetchall():
            setattr(report, difference, count)
            report.named[difference] = ids
    report.here = brake.count(source, report.stream, kind)
    if report.extra and (not report.in_crm or brake.is_too_many(report.extra, report.here)):
        report.held = report.extra
    report.phase, report.read_at = Phase.REPAIRING, sync.now()


def _settled_until(report: Reconciliation) -> datetime:
    """Everything that changed before must be here: an overlap before the reading began and the last pull ended."""
    assert report.started_at is not None
    until: datetime = min(report.started_at, report.connection.synced_until or report.started_at)
    return until - sync.OVERLAP[report.connection.provider]


def _next(report: Reconciliation) -> list[Compared]:
    todo = Compared.objects.filter(reconciliation=report).order_by("pk")
    return list((todo.exclude(difference=Difference.EXTRA) if report.held else todo)[:FETCHED])


def _ask(provider: Provider, stream: str, ids: Sequence[str]) -> tuple[Batch, set[str]]:
    """What the CRM says now of `ids`: their records, and those that it does not know."""
    if stream in FRAME:
        return _ask_frame(provider, stream, ids)
    try:
        page = provider.fetch(stream, ids)
    except ValueError:  # one of them cannot be an id; the others are asked for alone
        if len(ids) == 1:
            return Batch(), set()
        parts = [_ask(provider, stream, [one]) for one in ids]
        kind = provider.compared[stream]
        records: dict[str, Any] = {kind: [record for batch, _ in parts for record in getattr(batch, kind)]}
        return Batch(**records), set().union(*(gone for _, gone in parts))
    return page.batch, set(page.gone)


def _ask_frame(provider: Provider, stream: str, ids: Sequence[str]) -> tuple[Batch, set[str]]:
    """Pipelines and stages have no reading by id: they are few, and read once more."""
    known: set[str] = set()
    cursor: str | None = None
    while True:
        versions = provider.versions(stream, cursor)
        known.update(version.external_id for version in versions.versions)
        if (cursor := versions.cursor) is None:
            break
    batch = Batch()
    while True:
        page = provider.read(stream if stream in provider.streams else "pipelines", cursor, None, sync.now())
        pipelines, stages = [*batch.pipelines, *page.batch.pipelines], [*batch.stages, *page.batch.stages]
        batch = Batch(pipelines=pipelines, stages=stages)
        if (cursor := page.cursor) is None:
            return batch, set(ids) - known


def _repair(report: Reconciliation, ids: Sequence[Compared], batch: Batch, gone: set[str]) -> None:
    """Write what the CRM says of `ids`. Only what the comparison did not find there either is deleted for being
    unknown: of another that is unknown now, the next comparison will tell."""
    kind, source = _kind(report), report.connection.source
    extra = {one.external_id for one in ids if one.difference == Difference.EXTRA}
    removal.revive(source, batch)
    batch = replace(batch, gone={kind: sorted(extra & gone)})
    touched = upsert(source, batch, Clock.of(report.organisation))
    queue.mark(report.organisation, touched)
    said = {record.external_id: not record.deleted for record in getattr(batch, kind)}
    said |= dict.fromkeys(batch.other_activities if kind == "activities" else (), False)
    said |= dict.fromkeys(extra & gone, False)
    here = removal.living(source, kind, [one.external_id for one in ids])
    behind = set() if kind in FRAME else _behind(report, kind, ids)
    left = [
        one.external_id
        for one in ids
        if said.get(one.external_id) is not (one.external_id in here) or one.external_id in behind
    ]
    report.repaired += len(ids) - len(left)
    report.left += len(left)
    report.named["left"] = [*report.named.get("left", []), *left][:NAMED]
    report.problem, report.attempts, report.retry_at = "", 0, None
    report.save()
    Compared.objects.filter(pk__in=[one.pk for one in ids]).delete()


def _behind(report: Reconciliation, kind: Kept, ids: Sequence[Compared]) -> set[str]:
    """Those that are here in an older version than the CRM told, still."""
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT t.external_id FROM {removal.TABLES[kind]} t JOIN crm_sync_compared i ON i.organisation_id = %s "
            "AND i.id = ANY(%s) AND i.external_id = t.external_id AND i.updated_at > t.updated_at "
            "WHERE t.organisation_id = %s AND t.source_id = %s AND NOT t.deleted",
            [report.organisation_id, [one.pk for one in ids], report.organisation_id, report.connection.source_id],
        )
        return {row[0] for row in cursor.fetchall()}


def _finish(report: Reconciliation) -> None:
    """The report is complete, and from now on the latest of its stream."""
    same = Reconciliation.objects.filter(connection=report.connection, stream=report.stream)
    same.filter(is_latest=True).update(is_latest=False)
    same.filter(pk=report.pk, finished_at=None).update(
        phase=Phase.DONE,
        is_latest=True,
        finished_at=sync.now(),
        here=brake.count(report.connection.source, report.stream, _kind(report)),
        left=report.left + report.held,
    )
    if report.missing or report.extra or report.stale:
        logger.warning(
            "connection %s, stream %s: %s missing, %s extra, %s stale, %s left, %s held",
            *(report.connection_id, report.stream, report.missing, report.extra, report.stale),
            *(report.left + report.held, report.held),
        )
        evaluate_changed.delay_on_commit(report.organisation_id)  # type: ignore[attr-defined]


def _trouble(report: Reconciliation, error: Exception) -> None:
    """Plan the next attempt. A stream that may not be read is not compared; the synchronisation says so."""
    code = getattr(error, "code", "token_unreadable")
    logger.warning("comparison of connection %s, stream %s: %s", report.connection_id, report.stream, code)
    reports = Reconciliation.objects.filter(pk=report.pk, finished_at=None)
    if isinstance(error, MissingPermission):
        reports.update(problem=code, finished_at=sync.now(), phase=Phase.DONE)
        return
    wait = sync.RETRY[min(report.attempts, len(sync.RETRY) - 1)]
    if isinstance(error, RateLimited):
        wait = 3600 if error.daily else max(wait, int(error.retry_after or 0))
    reports.update(problem=code, attempts=F("attempts") + 1, retry_at=sync.now() + timedelta(seconds=wait))
