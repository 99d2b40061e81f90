"""The second phase: what a CRM tells of single deals only, after everything else has been read (docs/adr/0020).

Deals say themselves what is still to be read of them (`Deal.unread`), so that is all there is to resume. Open deals
come first, then those closed within two years, the latest first. One request at a time, from the first half of the
day's budget only, and nobody waits for it: what was written meanwhile by somebody else is asked for once more.
"""

import logging
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import F, Q

from accounts.tenancy import tenant
from alerts import queue
from alerts.parking import BAD_DATA
from crm_sync import locks, providers, sync, vault
from crm_sync.models import Connection, DetailProgress
from crm_sync.providers.base import CrmError, MissingPermission, Provider, RateLimited, UnexpectedAnswer, chunks
from deals.clock import Clock
from deals.models import Deal, DealActivity
from deals.querysets import DealQuerySet
from deals.records import BITS, ActivityRecord, Batch, Detail
from deals.upsert import upsert

logger = logging.getLogger(__name__)

CLOSED_SINCE = timedelta(days=731)  # two years: what analyses of closed deals look back on
REFUSALS = 3  # in a row: it is not these deals that may not be read, but any
GONE = (404, 410)
ATTEMPTS = 4  # at an answer that cannot be understood, before it is passed over
QUEUED = 500  # deals looked up at a time
TOGETHER = 10  # deals written together: so many requests are repeated after a crash
LOCK = 0x5644  # "VD": details, among the advisory locks of this database

Versions = Mapping[str, datetime]  # when the deals, by their ids at the CRM, had changed last
Part = tuple[Detail, Versions]  # what to read, of which deals
Answer = tuple[list[str], Batch]  # of which deals, and what the CRM said


def waiting(organisation_id: int) -> list[int]:
    """Connections with deals of which something is still to be read, and that need not wait."""
    paused = DetailProgress.objects.filter(organisation=organisation_id, retry_at__gt=sync.now())
    mine = Connection.objects.filter(organisation=organisation_id, state=Connection.State.CONNECTED)
    mine = mine.exclude(source__first_synced_at=None).exclude(pk__in=paused.values("connection"))
    return [each.pk for each in mine.select_related("source").order_by("pk") if next(_parts(each), None)]


def read_all(connection: Connection) -> None:
    """From beginning to end, in this process."""
    reader = Reader(connection.organisation_id, connection.pk)
    while reader.step():
        pass


def remaining(connection: Connection) -> dict[Detail, int]:
    """How many deals there are still to be read, for each detail of the connection's CRM."""
    kinds: Sequence[Detail] = list(providers.PROVIDERS[connection.provider].details)
    return {what: sum(deals.count() for deals in _scopes(connection, what)) for what in kinds}


def try_again(connection: Connection) -> None:
    """After a new login: what the old one did not allow is to be read now, without a rule waiting for it."""
    mine = DetailProgress.objects.filter(organisation=connection.organisation_id, connection=connection)
    for progress in mine.filter(left_out=True):
        bit = BITS[progress.detail]  # type: ignore[index]
        told = {"participants": ~Q(participants_told=""), "mail": ~Q(mail_told="")}.get(progress.detail, Q())
        deals = Deal.objects.filter(told, organisation=connection.organisation_id, source=connection.source_id)
        deals = deals if progress.detail == "history" else deals.filter(status=Deal.Status.OPEN)
        deals.update(unread=F("unread").bitor(bit))
    mine.update(left_out=False, refused=0, problem="", attempts=0, retry_at=None)


class Reader:
    """Reads a connection's details, a few requests at a time, over one session with the CRM."""

    def __init__(self, organisation_id: int, connection_id: int) -> None:
        self.organisation_id, self.connection_id = organisation_id, connection_id
        self._provider: Provider | None = None
        self._parts: deque[Part] = deque()

    def step(self) -> bool:
        """A few answers, written together; False when nothing is left to be read, or it has to wait (`retry_at`)."""
        with tenant(self.organisation_id):
            connection = self._connection()
            if connection is None:
                return False
            self._parts = self._parts or deque(_parts(connection))
        if not self._parts:
            return False
        what, deals = self._parts.popleft()
        answers: list[Answer] = []
        for refs in chunks(list(deals), providers.PROVIDERS[connection.provider].details[what]):
            try:
                self._provider = self._provider or sync.provider_of(connection, patient=True)
                answers.append((refs, self._provider.detail(what, refs)))
            except (CrmError, vault.Unreadable, ValueError) as error:
                self._provider, self._parts = None, deque()
                self._write(connection, what, deals, answers)
                with tenant(self.organisation_id):
                    return _trouble(connection, what, refs, error)
        self._write(connection, what, deals, answers)
        return True

    def _write(self, connection: Connection, what: Detail, deals: Versions, answers: Sequence[Answer]) -> None:
        """Nobody waits while the CRM is asked, only for this: two must not write to an account at the same time."""
        if not answers:
            return
        try:
            with locks.conversation(self.connection_id), tenant(self.organisation_id):
                _write(connection, what, deals, answers)
        except BAD_DATA as error:
            refs = [ref for asked, _ in answers for ref in asked]
            if len(refs) > 1:  # once more, each alone: one of them is what cannot be written
                self._parts.extendleft((what, {ref: deals[ref]}) for ref in refs)
                return
            logger.error("%s of deal %s, connection %s: %s", what, refs, connection.pk, type(error).__name__)
            with tenant(self.organisation_id):
                _done(connection, what, _these(connection, refs))

    def _connection(self) -> Connection | None:
        paused = DetailProgress.objects.filter(connection=self.connection_id, retry_at__gt=sync.now())
        found = Connection.objects.select_related("source", "organisation").filter(pk=self.connection_id)
        found = found.filter(state=Connection.State.CONNECTED).exclude(source__first_synced_at=None)
        return None if paused.exists() else found.first()


def _scopes(connection: Connection, what: Detail) -> list[DealQuerySet]:
    """The deals of which `what` is still to be read: open ones; of those closed lately the history only."""
    deals = Deal.objects.alias(due=F("unread").bitand(BITS[what])).filter(
        organisation=connection.organisation_id, source=connection.source_id, unread__gt=0, due__gt=0, deleted=False
    )
    scopes = [deals.filter(status=Deal.Status.OPEN, archived=False)]
    if what == "history":
        lately = sync.now() - CLOSED_SINCE
        scopes.append(deals.exclude(status=Deal.Status.OPEN).filter(closed_at__gte=lately))
    return scopes


def _parts(connection: Connection) -> Iterator[Part]:
    """The next deals to read, as they are written together; those of one detail, at most QUEUED."""
    mine = DetailProgress.objects.filter(organisation=connection.organisation_id, connection=connection)
    left_out = set(mine.filter(left_out=True).values_list("detail", flat=True))
    kinds = providers.PROVIDERS[connection.provider].details
    for number in range(2):
        for what, size in kinds.items():
            scopes = _scopes(connection, what)
            if number >= len(scopes):
                continue
            if what in left_out:
                _done(connection, what, scopes[number])
                continue
            order = ["pk"] if number == 0 else ["-closed_at", "pk"]
            found = list(scopes[number].order_by(*order).values_list("external_id", "updated_at")[:QUEUED])
            if found:
                together = max(size, TOGETHER)
                yield from ((what, dict(found[n : n + together])) for n in range(0, len(found), together))
                return


def _done(connection: Connection, what: Detail, deals: DealQuerySet) -> None:
    """Nothing of it is left to be read, and no rule waits for it any more."""
    kept = sum(BITS[kind] for kind in providers.PROVIDERS[connection.provider].details if kind != what)
    ids = list(deals.values_list("pk", flat=True))
    Deal.objects.filter(organisation=connection.organisation_id, pk__in=ids).update(
        unread=F("unread").bitand(kept), waits=F("waits").bitand(kept)
    )
    queue.mark(connection.organisation, ids)


def _write(connection: Connection, what: Detail, deals: Versions, answers: Sequence[Answer]) -> None:
    """What was answered, but of deals that somebody else has written since they were asked for: once more, later."""
    organisation = connection.organisation
    asked = [ref for refs, _ in answers for ref in refs]
    now = dict(_these(connection, asked).values_list("external_id", "updated_at"))
    fresh = {ref for ref in asked if now.get(ref) == deals[ref]}
    mails = [mail for _, batch in answers for mail in batch.activities if fresh.issuperset(mail.deals)]
    batch = Batch(
        histories=[one for _, batch in answers for one in batch.histories if one.deal in fresh],
        participants=[one for _, batch in answers for one in batch.participants if one.deal in fresh],
        activities=mails,
        gone={"activities": _gone(connection, fresh, mails) if what == "mail" else ()},
    )
    queue.mark(organisation, upsert(connection.source, batch, Clock.of(organisation)))
    _done(connection, what, _these(connection, fresh))
    progress, _ = DetailProgress.objects.get_or_create(organisation=organisation, connection=connection, detail=what)
    mine = DetailProgress.objects.filter(pk=progress.pk)
    mine.update(records=F("records") + len(fresh), refused=0, problem="", attempts=0, retry_at=None)


def _gone(connection: Connection, deals: Collection[str], mails: Sequence[ActivityRecord]) -> list[str]:
    """A list of mail is a list of all: what is here beyond it was deleted, or may not be read any more."""
    here = DealActivity.objects.filter(organisation=connection.organisation_id, deal_ref__in=list(deals))
    here = here.filter(activity__source=connection.source_id, activity__external_id__startswith="mailMessages/")
    return sorted(set(here.values_list("activity__external_id", flat=True)) - {mail.external_id for mail in mails})


def _these(connection: Connection, refs: Iterable[str]) -> DealQuerySet:
    mine = Deal.objects.filter(organisation=connection.organisation_id, source=connection.source_id)
    return mine.filter(external_id__in=list(refs))


def _trouble(connection: Connection, what: Detail, refs: Sequence[str], error: Exception) -> bool:
    """Whether to go on at once: past what cannot be read. All else is tried again later."""
    code = getattr(error, "code", "unexpected_answer" if isinstance(error, ValueError) else "token_unreadable")
    logger.warning("details of connection %s, %s: %s", connection.pk, what, code)
    progress, _ = DetailProgress.objects.get_or_create(
        organisation=connection.organisation, connection=connection, detail=what
    )
    if isinstance(error, MissingPermission):
        progress.refused += len(refs)
        progress.left_out = progress.refused >= REFUSALS
        progress.save(update_fields=["refused", "left_out"])
        _done(connection, what, _these(connection, refs))
        return True
    senseless = isinstance(error, UnexpectedAnswer | ValueError)
    if getattr(error, "status", None) in GONE or (senseless and progress.attempts >= ATTEMPTS):
        progress.attempts, progress.problem, progress.retry_at = 0, "", None
        progress.save(update_fields=["attempts", "problem", "retry_at"])
        _done(connection, what, _these(connection, refs))
        return True
    wait: float = sync.RETRY[min(progress.attempts, len(sync.RETRY) - 1)]
    if isinstance(error, RateLimited):
        wait = 3600 if error.daily else max(wait, error.retry_after or 0)
    progress.problem, progress.retry_at = code, sync.now() + timedelta(seconds=wait)
    progress.attempts = progress.attempts + 1
    progress.save(update_fields=["problem", "retry_at", "attempts"])
    return False
