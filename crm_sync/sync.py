"""Reading a CRM into `deals`: connecting, the first synchronisation, what changed since, all in steps of one page.

The CRM is asked outside any transaction. A page is then written in one: its rows, the marks for evaluation and the
cursor, so that a process may die at any time and the next one asks no finished page again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import connection as database
from django.db.models import F, Max

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import queue
from alerts.tasks import evaluate_changed
from crm_sync import fields, providers, vault
from crm_sync.models import Connection, StreamProgress, SyncRun
from crm_sync.providers.base import (
    Account,
    CrmDown,
    CrmError,
    MissingPermission,
    Page,
    Provider,
    RateLimited,
    TokenRefused,
)
from deals.clock import Clock
from deals.models import Role, Source
from deals.upsert import upsert

logger = logging.getLogger(__name__)

# Re-read before the last synchronisation's end: index lag and timestamps of whole seconds (RELIABILITY §2).
OVERLAP = {"pipedrive": timedelta(minutes=5), "hubspot": timedelta(minutes=10)}
# Without these there is nothing to watch; any other stream that may not be read is left out, and said.
NEEDED = {"pipelines", "deals"}
RETRY = (30, 60, 120, 300, 600)  # seconds after the first, second, … failure in a row
# Tables of which a first synchronisation makes many rows.
GROWING = (
    *("deals_company", "deals_contact", "deals_person", "deals_personaddress", "deals_deal", "deals_dealcontact"),
    *("deals_activity", "deals_dealactivity", "deals_participant", "deals_dealperson"),
)
# The account of a token that could not be checked yet.
UNCHECKED = Account(account_id="", name="", link_base="", time_zone="", currency="")
_LOCK = 0x5653  # "VS": synchronisations, among the advisory locks of this database


def now() -> datetime:
    return datetime.now(UTC)


def connect(organisation: Organisation, provider: str, token: str) -> Connection:
    """Check `token` with the CRM, keep it encrypted and start reading. Raises CrmError, and then keeps nothing.

    An account that was connected before is found again with its rows; only the token is replaced. When the CRM cannot
    answer now, the token is kept unchecked and the run, which says so, tries again by itself.
    Runs in the caller's tenant context.
    """
    trouble: CrmError | None = None
    account = UNCHECKED
    try:
        account = providers.connect(provider, token).identify()
    except (CrmDown, RateLimited) as error:
        trouble = error
    else:
        Source.objects.filter(organisation=organisation, provider=provider, account_id="").delete()
    connection = _keep(organisation, provider, token, account)
    run = start(connection)
    if trouble:
        _wait(run, trouble, "")
    return connection


def _keep(organisation: Organisation, provider: str, token: str, account: Account) -> Connection:
    """The connection to `account`, made or found, with this token."""
    source, _ = Source.objects.update_or_create(
        organisation=organisation,
        provider=provider,
        account_id=account.account_id,
        defaults=_facts(account),
    )
    connection, _ = Connection.objects.update_or_create(
        organisation=organisation,
        source=source,
        defaults={
            "provider": provider,
            "token": vault.seal(token, organisation.pk, source.pk),
            "state": Connection.State.CONNECTED,
            "connected_at": now(),
        },
    )
    SyncRun.objects.filter(organisation=organisation, connection=connection, finished_at=None).update(retry_at=None)
    return connection


def _facts(account: Account) -> dict[str, str]:
    return {
        "account_name": account.name[:200],
        "link_base": account.link_base[:200],
        "currency": account.currency[:3],
        "time_zone": account.time_zone[:64],
    }


def _recognise(connection: Connection, account: Account) -> bool:
    """The token that was kept unchecked opens `account`. False when that account was connected before: the token goes
    there, and the unchecked connection ends."""
    organisation, source = connection.organisation, connection.source
    sources = Source.objects.filter(organisation=organisation, provider=source.provider)
    if not sources.filter(account_id=account.account_id).exists():
        sources.filter(pk=source.pk).update(account_id=account.account_id, **_facts(account))
        return True
    token = vault.unseal(connection.token, organisation.pk, source.pk)
    source.delete()
    start(_keep(organisation, source.provider, token, account))
    return False


def disconnect(connection: Connection) -> None:
    """Forget the token. What was read stays, and is not read again until somebody connects."""
    connection.token, connection.state = "", Connection.State.DISCONNECTED
    connection.save(update_fields=["token", "state"])
    SyncRun.objects.filter(connection=connection, finished_at=None).update(finished_at=now(), problem="disconnected")


def provider_of(connection: Connection) -> Provider:
    source = connection.source
    return providers.connect(
        connection.provider,
        vault.unseal(connection.token, connection.organisation_id, source.pk),
        role_field=connection.role_field,
        title_field=connection.title_field,
        time_zone=source.time_zone,
        currency=source.currency,
    )


def start(connection: Connection, streams: tuple[str, ...] = ()) -> SyncRun:
    """Begin a run, or find the one under way, and ring the worker after the commit.

    `streams`: read these whole (after a change of the field mapping); otherwise everything, or what has changed.
    """
    from crm_sync.tasks import advance

    unfinished = SyncRun.objects.filter(connection=connection, finished_at=None)
    if (run := unfinished.first()) is not None and streams:
        # Pages read with the old mapping are stale, the one being read too: these streams begin anew, and whole.
        run.streams.filter(stream__in=streams).delete()
        _plan(run, connection, streams, {})
    if run is None:
        run = _begin(connection, streams)
    advance.delay_on_commit(connection.organisation_id, run.pk)  # type: ignore[attr-defined]
    return run


def _begin(connection: Connection, streams: tuple[str, ...]) -> SyncRun:
    every = providers.PROVIDERS[connection.provider]
    ended = dict(
        StreamProgress.objects.filter(run__connection=connection, finished=True, problem="")
        .exclude(run__finished_at=None)
        .values_list("stream")
        .annotate(until=Max("run__until"))
    )
    since: dict[str, datetime] = {}
    if streams:
        kind = SyncRun.Kind.FIELDS
    elif not connection.synced_until:
        kind, streams = SyncRun.Kind.FIRST, every.streams
    else:
        kind, since = SyncRun.Kind.CHANGES, ended
        # Small streams that are read whole, and dear ones, need not be asked each time.
        fresh = {stream for stream in every.hourly & ended.keys() if ended[stream] > now() - timedelta(hours=1)}
        streams = tuple(stream for stream in every.streams if stream not in fresh)
    run = SyncRun.objects.create(
        organisation_id=connection.organisation_id, connection=connection, kind=kind, until=now(), started_at=now()
    )
    _plan(run, connection, streams, since)
    return run


def _plan(run: SyncRun, connection: Connection, streams: tuple[str, ...], since: dict[str, datetime]) -> None:
    every = providers.PROVIDERS[connection.provider].streams
    StreamProgress.objects.bulk_create(
        StreamProgress(
            organisation_id=connection.organisation_id,
            run=run,
            position=every.index(stream),
            stream=stream,
            since=since[stream] - OVERLAP[connection.provider] if stream in since else None,
        )
        for stream in streams
    )


def save_fields(connection: Connection, role_field: str, title_field: str) -> None:
    """Say which fields hold role and job title, and read again what they are on if that has changed."""
    if (connection.role_field, connection.title_field) == (role_field, title_field):
        return
    holders = ("roles", *providers.PROVIDERS[connection.provider].role_streams)
    streams = ("persons",) if connection.role_field == role_field else holders
    connection.role_field, connection.title_field = role_field, title_field
    connection.save(update_fields=["role_field", "title_field"])
    start(connection, streams=streams)


def pull(connection: Connection) -> None:
    """Read what is to be read from the beginning of a run to its end, in this process."""
    with tenant(connection.organisation_id):
        run = start(Connection.objects.select_related("source").get(pk=connection.pk))
    reader = Reader(connection.organisation_id, run.pk)
    while reader.step():
        pass


@contextmanager
def claim(run: SyncRun) -> Iterator[bool]:
    """Whether this process alone works on the run's connection. The lock ends with the process's database session."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK, run.connection_id])
        claimed = cursor.fetchone()[0]
    try:
        yield claimed
    finally:
        if claimed:
            with database.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK, run.connection_id])


class Reader:
    """Carries one run on, page by page, over one session with the CRM."""

    def __init__(self, organisation_id: int, run_id: int) -> None:
        self.organisation_id, self.run_id = organisation_id, run_id
        self._provider: Provider | None = None
        self._login: tuple[str, ...] = ()

    def step(self) -> bool:
        """Read and write one page; False when the run is finished or waits (`retry_at`)."""
        with tenant(self.organisation_id):
            run = (
                SyncRun.objects.select_related("connection__source", "organisation")
                .filter(pk=self.run_id, finished_at=None)
                .first()
            )
            if run is None or (run.retry_at and run.retry_at > now()):
                return False
            progress = run.streams.filter(finished=False).order_by("position").first()
            if progress is None:
                _finish(run)
                return False
        try:
            provider = self._reach(run.connection)
            if not run.connection.source.account_id:
                account = provider.identify()
                with tenant(self.organisation_id):
                    return _recognise(run.connection, account)
            if run.kind == SyncRun.Kind.FIRST and progress.stream == "roles":
                provider = self._find_fields(run.connection, provider)
            page = provider.read(progress.stream, progress.cursor, progress.since, run.until)
        except (CrmError, vault.Unreadable) as error:
            with tenant(self.organisation_id):
                return _trouble(run, progress, error)
        with tenant(self.organisation_id):
            _write(run, progress, page)
        if run.kind == SyncRun.Kind.FIRST and progress.pages and (progress.pages + 1).bit_count() == 1:
            # After page 2, 4, 8, …
            _refresh_statistics()
        return True

    def _find_fields(self, connection: Connection, provider: Provider) -> Provider:
        """Before people and deals are read for the first time, so that their roles count as known since ever."""
        if connection.role_field or connection.title_field:
            return provider
        connection.role_field, connection.title_field = fields.guess(provider.fields())
        with tenant(self.organisation_id):
            unmapped = Connection.objects.filter(pk=connection.pk, role_field="", title_field="")
            unmapped.update(role_field=connection.role_field, title_field=connection.title_field)
        return self._reach(connection)

    def _reach(self, connection: Connection) -> Provider:
        """The provider, made anew when an admin has changed token or mapping meanwhile."""
        login = (connection.token, connection.role_field, connection.title_field)
        if self._provider is None or login != self._login:
            self._provider, self._login = provider_of(connection), login
        return self._provider


def _write(run: SyncRun, progress: StreamProgress, page: Page) -> None:
    # The row is locked and its cursor compared: a page is written once even when it was read twice.
    same = run.streams.select_for_update().filter(pk=progress.pk, cursor=progress.cursor, finished=False)
    if progress.cursor is None:
        same = run.streams.select_for_update().filter(pk=progress.pk, cursor__isnull=True, finished=False)
    if not same.exists():
        return
    source = run.connection.source
    offered = {} if page.batch.roles is None else _offered(source)
    touched = upsert(source, page.batch, Clock.of(run.organisation))
    if offered and not offered.items() <= _offered(source).items():
        # One was renamed or deleted, which is no change of those who hold it: all of them are read again.
        holders = providers.PROVIDERS[run.connection.provider].role_streams
        run.streams.filter(stream__in=holders, finished=False).update(since=None)
    if run.connection.source.first_synced_at:  # before, an alert would only say what has not been read yet
        queue.mark(run.organisation, touched)
    run.streams.filter(pk=progress.pk).update(
        cursor=page.cursor,
        finished=page.cursor is None,
        pages=F("pages") + 1,
        records=F("records") + page.count,
    )
    if run.attempts or run.problem:
        SyncRun.objects.filter(pk=run.pk).update(attempts=0, problem="", problem_detail="", retry_at=None)


def _offered(source: Source) -> dict[str, str]:
    """The key of each role by what it is at the CRM."""
    roles = Role.objects.filter(organisation=source.organisation_id, source=source, stale=False)
    return {ref: key for key, refs in roles.values_list("key", "refs") for ref in refs}


def _finish(run: SyncRun) -> None:
    """Everything up to `run.until` is here."""
    source = run.connection.source
    SyncRun.objects.filter(pk=run.pk).update(finished_at=now(), problem="", problem_detail="")
    if run.kind != SyncRun.Kind.FIELDS:
        Connection.objects.filter(pk=run.connection_id).update(synced_until=run.until)
        Source.objects.filter(pk=source.pk).update(synced_at=now())
    if run.kind == SyncRun.Kind.FIRST and source.first_synced_at is None:
        Source.objects.filter(pk=source.pk).update(first_synced_at=now())
        _refresh_statistics()
        queue.mark(run.organisation, run.organisation.deals.filter(source=source).values_list("pk", flat=True))
    evaluate_changed.delay_on_commit(run.organisation_id)  # type: ignore[attr-defined]


def _refresh_statistics() -> None:
    """Without it the plans of a growing first synchronisation are made for empty tables, and take quadratic time.

    PostgreSQL 17 lets the app role be granted this; before, autovacuum does it a minute later.
    """
    if database.pg_version >= 170000:  # type: ignore[attr-defined]
        with database.cursor() as cursor:
            cursor.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(GROWING)}")


def _trouble(run: SyncRun, progress: StreamProgress, error: Exception) -> bool:
    """Keep what was read, say what is wrong, and plan the next attempt where there can be one."""
    code = getattr(error, "code", "token_unreadable")
    logger.warning("sync of connection %s, stream %s: %s", run.connection_id, progress.stream, code)
    runs = SyncRun.objects.filter(pk=run.pk)
    if isinstance(error, MissingPermission) and progress.stream not in NEEDED and run.connection.source.account_id:
        run.streams.filter(pk=progress.pk).update(finished=True, problem=code)
        return True
    detail = ", ".join(getattr(error, "scopes", ())) or progress.stream
    if isinstance(error, MissingPermission | TokenRefused | vault.Unreadable):
        # Only a person can mend this; the run goes on when a new token comes.
        state = Connection.State.FORBIDDEN if isinstance(error, MissingPermission) else Connection.State.REFUSED
        Connection.objects.filter(pk=run.connection_id).update(state=state)
        runs.update(problem=code, problem_detail=detail, retry_at=None)
        return False
    _wait(run, error, detail)
    return False


def _wait(run: SyncRun, error: Exception, detail: str) -> None:
    """Plan the next attempt after trouble that passes."""
    wait = RETRY[min(run.attempts, len(RETRY) - 1)]
    if isinstance(error, RateLimited):
        wait = 3600 if error.daily else max(wait, int(error.retry_after or 0))
    SyncRun.objects.filter(pk=run.pk).update(
        problem=getattr(error, "code", "token_unreadable"),
        problem_detail=detail,
        attempts=F("attempts") + 1,
        retry_at=now() + timedelta(seconds=wait),
    )
