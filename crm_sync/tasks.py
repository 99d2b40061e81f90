"""What the worker does for the synchronisation. Tasks carry ids and run twice harmlessly."""

import logging
import time
from datetime import timedelta

from celery import shared_task
from django.db.models import Q

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts.tasks import evaluate_changed
from crm_sync import details as single
from crm_sync import locks, reapplying, removal, sync, vault
from crm_sync import reconcile as comparison
from crm_sync.models import Connection, SyncRun
from crm_sync.providers.base import CrmError
from deals.clock import Clock

logger = logging.getLogger(__name__)

SHIFT = 60  # seconds that one task works before it makes room for others
SHORT_SHIFT = 3  # likewise, of one whose work can wait: nobody's changes shall wait for it
KEEP_RUNS = timedelta(days=14)  # a stream that was not read for so long is read whole again
EVALUATE_EVERY = 5  # seconds between two evaluations of what has arrived


@shared_task
def advance(organisation_id: int, run_id: int) -> None:
    """Carry a run on, page by page. Another worker at the same connection is left alone."""
    with tenant(organisation_id):
        run = SyncRun.objects.filter(pk=run_id, finished_at=None).first()
    if run is None:
        return
    with sync.claim(run) as claimed:
        if not claimed:
            return
        end = time.monotonic() + SHIFT
        evaluate_at = 0.0
        reader = sync.Reader(organisation_id, run_id)
        while more := reader.advance():
            if time.monotonic() > evaluate_at:
                evaluate_changed.delay(organisation_id)
                evaluate_at = time.monotonic() + EVALUATE_EVERY
            if time.monotonic() > end:
                break
    if more:
        advance.delay(organisation_id, run_id)


@shared_task
def pull_all() -> None:
    """Every five minutes: what changed since the last time, for every connection."""
    for organisation in Organisation.objects.order_by("pk"):
        with tenant(organisation):
            old = sync.now() - KEEP_RUNS
            SyncRun.objects.filter(organisation=organisation, finished_at__lt=old, kind=SyncRun.Kind.CHANGES).delete()
            for connection in organisation.connections.filter(state=Connection.State.CONNECTED).select_related(
                "source"
            ):
                sync.start(connection)


@shared_task
def sweep() -> None:
    """Find runs that were interrupted, or whose time to try again has come."""
    for organisation in Organisation.objects.order_by("pk"):
        with tenant(organisation):
            due = SyncRun.objects.filter(
                Q(retry_at=None) | Q(retry_at__lte=sync.now()),
                finished_at=None,
                connection__state=Connection.State.CONNECTED,
            )
            runs = list(due.values_list("pk", flat=True))
            leaving = organisation.connections.filter(state=Connection.State.DELETING)
            removals = list(leaving.values_list("pk", flat=True))
            compared = comparison.waiting(organisation.pk)
            remapped = reapplying.waiting()
            unread = single.waiting(organisation.pk)
        for run in runs:
            advance.delay(organisation.pk, run)
        for connection in removals:
            remove.delay(organisation.pk, connection)
        for connection in compared:
            reconcile.delay(organisation.pk, connection)
        for connection in remapped:
            reapply.delay(organisation.pk, connection)
        for connection in unread:
            read_details.delay(organisation.pk, connection)


@shared_task
def start_reconciliations() -> None:
    """Every five minutes: the day's comparisons, for every connection, from the organisation's midnight on."""
    for organisation in Organisation.objects.order_by("pk"):
        with tenant(organisation):
            for connection in organisation.connections.select_related("source"):
                comparison.begin_daily(connection, Clock.of(organisation))


@shared_task
def reconcile(organisation_id: int, connection_id: int) -> None:
    """Carry a connection's comparisons on, page by page. Another worker at them is left alone."""
    with comparison.claim(connection_id) as claimed:
        if not claimed:
            return
        end = time.monotonic() + SHIFT
        reconciler = comparison.Reconciler(organisation_id, connection_id)
        while more := reconciler.step():
            if time.monotonic() > end:
                break
    if more:
        reconcile.delay(organisation_id, connection_id)


@shared_task
def read_details(organisation_id: int, connection_id: int) -> None:
    """Carry on what is read of single deals, one request at a time. Another worker at it is left alone."""
    with locks.claim(single.LOCK, connection_id) as claimed:
        if not claimed:
            return
        end = time.monotonic() + SHORT_SHIFT
        reader = single.Reader(organisation_id, connection_id)
        while more := reader.step():
            if time.monotonic() > end:
                break
    evaluate_changed.delay(organisation_id)
    if more:
        read_details.delay(organisation_id, connection_id)


@shared_task
def remove(organisation_id: int, connection_id: int) -> None:
    """Carry the deletion of an account's data on. A page that is being read is waited for (`sweep` asks again)."""
    with sync.claim(SyncRun(connection_id=connection_id)) as claimed:
        if not claimed:
            return
        end = time.monotonic() + SHIFT
        while more := removal.step(organisation_id, connection_id):
            if time.monotonic() > end:
                break
    if more:
        remove.delay(organisation_id, connection_id)


@shared_task
def reapply(organisation_id: int, connection_id: int) -> None:
    """Carry the application of a changed mapping on. Another worker at it is left alone."""
    with locks.claim(reapplying.LOCK, connection_id) as claimed:
        if not claimed:
            return
        end = time.monotonic() + SHIFT
        while more := reapplying.step(organisation_id, connection_id, sync.now()):
            if time.monotonic() > end:
                break
    if more:
        reapply.delay(organisation_id, connection_id)


@shared_task
def revoke(provider: str, organisation_id: int, source_id: int, sealed: str) -> None:
    """Give an access back to the CRM. As well as it goes: our copy is gone in any case."""
    try:
        removal.revoke_now(provider, organisation_id, source_id, sealed)
    except (CrmError, vault.Unreadable) as error:
        logger.warning("access to %s not revoked: %s", provider, getattr(error, "code", "token_unreadable"))
