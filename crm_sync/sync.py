"""Reading a CRM into `deals`: connecting, the first synchronisation, what changed since, all in steps of one page.

The CRM is asked outside any transaction. A page is then written in one: its rows, the marks for evaluation and the
cursor, so that a process may die at any time and the next one asks no finished page again.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import F, Max

from accounts.models import Organisation, User
from accounts.tenancy import tenant
from alerts import queue
from alerts.tasks import evaluate_changed
from crm_sync import activity_types, brake, bulk, fields, locks, oauth, providers, routes, vault
from crm_sync.budget import ConnectionBudget
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
from deals import settling
from deals.clock import Clock
from deals.models import Role, Source
from deals.records import Batch
from deals.upsert import upsert

logger = logging.getLogger(__name__)

# Re-read before the last synchronisation's end: a CRM's index may show a change ten minutes late, and Pipedrive's times
# are whole seconds.
OVERLAP = {"pipedrive": timedelta(minutes=15), "hubspot": timedelta(minutes=15)}
CLOCKS_DIFFER = timedelta(seconds=10)  # less is the time that an answer takes, and Date's whole seconds
# Without these there is nothing to watch; any other stream that may not be read is left out, and said.
NEEDED = {"pipelines", "deals"}
RETRY = (30, 60, 120, 300, 600)  # seconds after the first, second, … failure in a row
# Tables of which a first synchronisation makes many rows, by the records that make them.
GROWING = {
    "companies": ("deals_company",),
    "contacts": ("deals_contact", "deals_person", "deals_personaddress"),
    "deals": ("deals_deal", "deals_dealcontact", "deals_dealperson"),
    "activities": ("deals_activity", "deals_dealactivity", "deals_participant", "deals_person", "deals_personaddress"),
}
STATISTICS = 200  # records of a kind below which the planner does well without statistics
# The account of a token that could not be checked yet.
UNCHECKED = Account(account_id="", name="", link_base="", time_zone="", currency="")
_LOCK = 0x5653  # "VS": synchronisations, among the advisory locks of this database


def now() -> datetime:
    return datetime.now(UTC)


class BeingDeleted(CrmError):
    """The data of this account are on their way out; a new connection would be taken with them."""

    code = "being_deleted"


def connect(
    organisation: Organisation, provider: str, login: str | oauth.Login, user: User | None = None
) -> Connection:
    """Check a token or a login by OAuth with the CRM, keep it encrypted and start reading. `user` says who connects.

    An account that was connected before, in whichever way, is found again with its rows; only the login is replaced.
    When the CRM cannot answer now, the login is kept unchecked and the run, which says so, tries again by itself.
    Raises CrmError, and then keeps nothing. Runs in the caller's tenant context.
    """
    login = oauth.Login(login) if isinstance(login, str) else login
    trouble: CrmError | None = None
    account = UNCHECKED
    try:
        account = _provider(provider, login).identify()
    except (CrmDown, RateLimited) as error:
        trouble = error
    else:
        Source.objects.filter(organisation=organisation, provider=provider, account_id="").delete()
    connection = _keep(organisation, provider, login, account, user)
    run = start(connection)
    if trouble:
        _wait(run, trouble, "")
    return connection


def _keep(
    organisation: Organisation, provider: str, login: oauth.Login, account: Account, user: User | None
) -> Connection:
    """The connection to `account`, made or found, with this login."""
    source, _ = Source.objects.update_or_create(
        organisation=organisation,
        provider=provider,
        account_id=account.account_id,
        defaults=_facts(account),
    )
    mine = Connection.objects.filter(organisation=organisation, source=source)
    if mine.filter(state=Connection.State.DELETING).exists():
        raise BeingDeleted(f"source {source.pk}")
    connection, _ = mine.update_or_create(
        organisation=organisation,
        source=source,
        defaults={
            "provider": provider,
            **login.sealed(organisation.pk, source.pk),
            "state": Connection.State.CONNECTED,
            "connected_at": now(),
            "connected_by": user,
            "crm_user": account.user_id[:50],
        },
    )
    from crm_sync import details

    routes.keep(source)
    SyncRun.objects.filter(organisation=organisation, connection=connection, finished_at=None).update(retry_at=None)
    details.try_again(connection)
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
        routes.keep(sources.get(pk=source.pk))
        return True
    login, user = oauth.Login.of(connection), connection.connected_by
    source.delete()
    start(_keep(organisation, source.provider, login, account, user))
    return False


def disconnect(connection: Connection, state: Connection.State = Connection.State.DISCONNECTED) -> None:
    """Forget the login; `state` says why. What was read stays, and is not read again until somebody connects."""
    from crm_sync import webhooks

    webhooks.leave(connection)
    connection.token, connection.refresh_token, connection.expires_at, connection.state = "", "", None, state
    connection.save(update_fields=["token", "refresh_token", "expires_at", "state"])
    SyncRun.objects.filter(connection=connection, finished_at=None).update(finished_at=now(), problem="disconnected")


def _provider(name: str, login: oauth.Login, **more: Any) -> Provider:
    return providers.connect(name, login.token, oauth=login.by_oauth, api_url=login.api_url, **more)


def provider_of(connection: Connection, *, urgent: bool = False, patient: bool = False) -> Provider:
    """Its CRM; what came by signing in is renewed before it ends. Raises vault.Unreadable, CrmError.

    `urgent`: it may spend the part of the day's budget that is kept for webhooks; `patient`: it leaves half of it.

    Better outside a transaction: while one of many callers renews, the others wait for the connection's row.
    """
    oauth.freshen(connection)
    source = connection.source
    with tenant(connection.organisation_id):
        kinds = activity_types.kinds(connection)
    return _provider(
        connection.provider,
        oauth.Login.of(connection),
        role_field=connection.role_field,
        title_field=connection.title_field,
        activity_kinds=kinds,
        time_zone=source.time_zone,
        currency=source.currency,
        budget=ConnectionBudget(connection.provider, connection.organisation_id, connection.pk, urgent, patient),
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
    Connection.objects.filter(pk=connection.pk).update(mapping_version=F("mapping_version") + 1)
    start(connection, streams=streams)


def pull(connection: Connection) -> None:
    """Read what is to be read from the beginning of a run to its end, in this process."""
    with tenant(connection.organisation_id):
        run = start(Connection.objects.select_related("source").get(pk=connection.pk))
    reader = Reader(connection.organisation_id, run.pk)
    while reader.advance():
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
        self._connection: int | None = None
        self._provider: Provider | None = None
        self._login: tuple[str, ...] = ()
        self._counts = Counter[str]()  # records of each kind that were written
        self._successor = ""  # the token that took the place of a refused one

    def step(self) -> bool:
        """Read and write one page; False when the run is finished or waits (`retry_at`)."""
        with self._conversation():
            return self._step()

    def advance(self) -> bool:
        """As `step`, but of a first synchronisation many pages (crm_sync.bulk), for some seconds."""
        with self._conversation():
            run, streams = self._next()
            every = providers.PROVIDERS[run.connection.provider] if run else None
            if run and every and _is_first(run) and run.connection.source.account_id:
                small = every.hourly
                large = list(itertools.takewhile(lambda progress: progress.stream not in small, streams))
                if large:
                    return self._read_ahead(run, large)
            return self._step()

    @contextmanager
    def _conversation(self) -> Iterator[None]:
        if self._connection is None:
            with tenant(self.organisation_id):
                self._connection = SyncRun.objects.values_list("connection", flat=True).filter(pk=self.run_id).first()
        with locks.conversation(self._connection or 0):
            yield

    def _next(self) -> tuple[SyncRun | None, list[StreamProgress]]:
        """The run when there is something to do now, and its unfinished streams."""
        with tenant(self.organisation_id):
            runs = SyncRun.objects.select_related("connection__source", "organisation")
            run = runs.filter(pk=self.run_id, finished_at=None).first()
            if run is None or (run.retry_at and run.retry_at > now()):
                return None, []
            return run, list(run.streams.filter(finished=False).order_by("position"))

    def _read_ahead(self, run: SyncRun, streams: list[StreamProgress]) -> bool:
        try:
            provider = self._reach(run.connection)
        except (CrmError, vault.Unreadable) as error:
            return self._fail(run, streams[0], error)
        with bulk.ahead(bulk.portions(provider, streams, run.until)) as portions:
            for portion in portions:
                with tenant(self.organisation_id):
                    _keep_time(run, provider.clock_ahead())
                    written = [_write(run, part.progress, part.page, part) for part in portion.parts]
                for part in portion.parts:
                    part.progress.cursor = part.page.cursor
                    self._count(part.page.batch)
                if not all(written):  # the run has ended, or begins anew
                    return True
                if portion.trouble:
                    return self._fail(run, *portion.trouble)
        return True

    def _step(self) -> bool:
        run, streams = self._next()
        if run is None:
            return False
        if not streams:
            source = run.connection.source
            with tenant(self.organisation_id):
                waiting = settling.waiting(source) if _is_first(run) else []
                if not waiting:
                    _finish(run)
                    return False
            settling.settle(source, waiting, Clock.of(run.organisation))
            return True
        progress = streams[0]
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
            return self._fail(run, progress, error)
        with tenant(self.organisation_id):
            _keep_time(run, provider.clock_ahead())
            _write(run, progress, page)
        if run.kind == SyncRun.Kind.FIRST:
            self._count(page.batch)
        return True

    def _count(self, batch: Batch) -> None:
        """Look at the tables again whenever there are four times as many of what makes them grow."""
        for kind, tables in GROWING.items():
            before = self._counts[kind]
            self._counts[kind] += len(getattr(batch, kind))
            if self._counts[kind] // STATISTICS and self._counts[kind].bit_length() // 2 > before.bit_length() // 2:
                _refresh_statistics(tables, rows=3_000)

    def _fail(self, run: SyncRun, progress: StreamProgress, error: Exception) -> bool:
        trouble = self._after_renewal(run.connection, error)
        if trouble is None:
            return True
        with tenant(self.organisation_id):
            return _trouble(run, progress, trouble)

    def _after_renewal(self, connection: Connection, error: Exception) -> Exception | None:
        """None when a token that was refused before its time has a successor, else the trouble that is left."""
        refused = connection.token
        if not isinstance(error, TokenRefused) or isinstance(error, oauth.AccessWithdrawn):
            return error
        if refused == self._successor:
            return error
        try:
            oauth.freshen(connection, refused)
        except (CrmError, vault.Unreadable) as worse:
            return worse
        self._successor = connection.token
        return error if connection.token == refused else None

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
        """The provider, made anew when an admin has changed token or mapping meanwhile, or the token was renewed."""
        oauth.freshen(connection)
        mapped = (connection.role_field, connection.title_field, str(connection.mapping_version))
        login = (connection.token, *mapped)
        if self._provider is None or login != self._login:
            self._provider, self._login = provider_of(connection), login
        return self._provider


def _keep_time(run: SyncRun, ahead: timedelta) -> None:
    """`until` is told in the CRM's time, as are the times of change that the next run compares with it."""
    until = run.started_at + ahead
    if abs(run.until - until) > CLOCKS_DIFFER:
        SyncRun.objects.filter(pk=run.pk).update(until=until)


def _is_first(run: SyncRun) -> bool:
    """Whether nothing of its source has been derived or judged yet."""
    return run.kind == SyncRun.Kind.FIRST and run.connection.source.first_synced_at is None


def _write(run: SyncRun, progress: StreamProgress, page: Page, part: bulk.Part | None = None) -> bool:
    """Write a page that follows the stream's checkpoint, or the pages of `part`; False when it does not any more."""
    from crm_sync import reconcile

    # The row is locked and its cursor compared: a page is written once even when it was read twice.
    same = run.streams.select_for_update(of=("self",)).filter(pk=progress.pk, finished=False, run__finished_at=None)
    same = same.filter(cursor__isnull=True) if progress.cursor is None else same.filter(cursor=progress.cursor)
    if not same.exists():
        return False
    first = _is_first(run)
    if first:  # what a power cut undoes, it undoes with its checkpoint: no need to wait for the disk
        with database.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off; SET LOCAL default_statistics_target = 10")
    source = run.connection.source
    offered = {} if page.batch.roles is None else _offered(source)
    batch, stopped = brake.spare(run.connection, progress, page.batch)
    prepared = part.prepared if part and batch is page.batch else None
    touched = upsert(source, batch, Clock.of(run.organisation), settle=not first, prepared=prepared)
    if page.types:
        activity_types.learn(progress, page.types, now())
    if stopped:  # the comparison says what the CRM does not have any more, and asks an admin
        reconcile.begin(run.connection, stopped)
    if offered and not offered.items() <= _offered(source).items():
        # One was renamed or deleted, which is no change of those who hold it: all of them are read again.
        holders = providers.PROVIDERS[run.connection.provider].role_streams
        run.streams.filter(stream__in=holders, finished=False).update(since=None)
    if run.connection.source.first_synced_at:  # before, an alert would only say what has not been read yet
        queue.mark(run.organisation, touched)
    run.streams.filter(pk=progress.pk).update(
        cursor=page.cursor,
        finished=page.cursor is None,
        pages=F("pages") + (part.pages if part else 1),
        records=F("records") + page.count,
        deletions=progress.deletions,
    )
    if run.attempts or run.problem:
        SyncRun.objects.filter(pk=run.pk).update(attempts=0, problem="", problem_detail="", retry_at=None)
        run.attempts, run.problem = 0, ""  # trouble that comes in the same portion is the first again
    return True


def _offered(source: Source) -> dict[str, str]:
    """The key of each role by what it is at the CRM."""
    roles = Role.objects.filter(organisation=source.organisation_id, source=source, stale=False)
    return {ref: key for key, refs in roles.values_list("key", "refs") for ref in refs}


def _finish(run: SyncRun) -> None:
    """Everything up to `run.until` is here, but for what is read of single deals."""
    from crm_sync import reconcile
    from crm_sync.tasks import read_details

    source = run.connection.source
    SyncRun.objects.filter(pk=run.pk).update(finished_at=now(), problem="", problem_detail="")
    if run.kind != SyncRun.Kind.FIELDS:
        Connection.objects.filter(pk=run.connection_id).update(synced_until=run.until)
        Source.objects.filter(pk=source.pk).update(synced_at=now())
    if run.kind == SyncRun.Kind.FIRST and source.first_synced_at is None:
        Source.objects.filter(pk=source.pk).update(first_synced_at=now())
        _refresh_statistics((table for tables in GROWING.values() for table in tables), rows=9_000)
        queue.mark(run.organisation, run.organisation.deals.filter(source=source).values_list("pk", flat=True))
        # An empty list may be a mistake of the CRM, and the next comparison of everything is a night away.
        empty = run.streams.filter(records=0, problem="").values_list("stream", flat=True)
        if unsure := [stream for stream in providers.PROVIDERS[run.connection.provider].compared if stream in empty]:
            reconcile.begin(run.connection, unsure)
    evaluate_changed.delay_on_commit(run.organisation_id)  # type: ignore[attr-defined]
    read_details.delay_on_commit(run.organisation_id, run.connection_id)  # type: ignore[attr-defined]


def _refresh_statistics(tables: Iterable[str], rows: int) -> None:
    """Without it the plans of a growing first synchronisation are made for empty tables, and take quadratic time.

    `rows` of each table are looked at, roughly. PostgreSQL 17 lets the app role be granted this; before, autovacuum
    does it a minute later.
    """
    if database.pg_version >= 170000:  # type: ignore[attr-defined]
        with transaction.atomic(), database.cursor() as cursor:
            cursor.execute(f"SET LOCAL default_statistics_target = {rows // 300}")
            cursor.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(sorted({*tables}))}")


def _trouble(run: SyncRun, progress: StreamProgress, error: Exception) -> bool:
    """Keep what was read, say what is wrong, and plan the next attempt where there can be one."""
    code = getattr(error, "code", "token_unreadable")
    if isinstance(error, TokenRefused) and run.connection.method == Connection.Method.OAUTH:
        code = oauth.AccessWithdrawn.code
    logger.warning("sync of connection %s, stream %s: %s", run.connection_id, progress.stream, code)
    runs = SyncRun.objects.filter(pk=run.pk)
    if isinstance(error, MissingPermission) and progress.stream not in NEEDED and run.connection.source.account_id:
        run.streams.filter(pk=progress.pk).update(finished=True, problem=code)
        return True
    detail = ", ".join(getattr(error, "scopes", ())) or progress.stream
    if isinstance(error, MissingPermission | TokenRefused | vault.Unreadable):
        # Only a person can mend this; the run goes on when a new token comes.
        state = Connection.State.FORBIDDEN if isinstance(error, MissingPermission) else Connection.State.REFUSED
        # Not if somebody has connected anew meanwhile.
        Connection.objects.filter(pk=run.connection_id, token=run.connection.token).update(state=state)
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
