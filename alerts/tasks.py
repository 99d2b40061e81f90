"""What the worker does for alerts. Tasks carry ids and run twice harmlessly."""

from datetime import UTC, datetime

from celery import shared_task

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import engine, queue
from alerts.models import Pending, Run
from deals.clock import Clock
from deals.models import Deal

CHUNK = 5_000  # deals between two steps of a run's progress


@shared_task
def evaluate_changed(organisation_id: int) -> None:
    """Evaluate the deals of one organisation that are marked as changed, until none is left."""
    organisation = Organisation.objects.get(pk=organisation_id)
    while True:
        with tenant(organisation):
            if not queue.evaluate_pending(organisation, Clock.of(organisation)):
                return


@shared_task
def evaluate_all(organisation_id: int, run_id: int) -> None:
    """Carry on an evaluation of all deals, chunk by chunk, each with its progress in one transaction."""
    organisation = Organisation.objects.get(pk=organisation_id)
    while True:
        with tenant(organisation):
            run = Run.objects.select_for_update(skip_locked=True).filter(pk=run_id, finished_at=None).first()
            if run is None:  # finished, or another worker is at it
                return
            clock = Clock.of(organisation)
            deals = Deal.objects.filter(organisation=organisation).synced()
            chunk = list(deals.filter(pk__gt=run.position).order_by("pk").values_list("pk", flat=True)[:CHUNK])
            if chunk:
                engine.evaluate(organisation, deals.filter(pk__gt=run.position, pk__lte=chunk[-1]), clock)
                run.position, run.done = chunk[-1], run.done + len(chunk)
            else:
                run.finished_at = clock.now
                run.total = run.done
            run.save(update_fields=["position", "done", "total", "finished_at"])


def start_run(organisation: Organisation, cause: str, key: str, clock: Clock) -> Run:
    """Begin an evaluation of all deals, once per cause and key, and ring the worker after the commit."""
    run, created = Run.objects.get_or_create(
        organisation=organisation,
        cause=cause,
        key=key,
        defaults={
            "started_at": clock.now,
            "total": Deal.objects.filter(organisation=organisation).synced().count(),
        },
    )
    if created:
        evaluate_all.delay_on_commit(organisation.pk, run.pk)  # type: ignore[attr-defined]
    return run


@shared_task
def start_daily() -> None:
    """One run per organisation and local date, from its midnight on; after an outage the date of today."""
    for organisation in Organisation.objects.order_by("pk"):
        clock = Clock.of(organisation, datetime.now(UTC))
        with tenant(organisation):
            start_run(organisation, Run.Cause.DAILY, clock.today.isoformat(), clock)


@shared_task
def sweep() -> None:
    """Find what nobody rang for: meetings that have become past, marked deals, runs that were interrupted."""
    for organisation in Organisation.objects.order_by("pk"):
        with tenant(organisation):
            now = Clock.of(organisation).now
            queue.mark(organisation, organisation.deals.synced().filter(roll_at__lte=now).values_list("pk", flat=True))
            marked = Pending.objects.filter(organisation=organisation).exists()
            runs = list(Run.objects.filter(organisation=organisation, finished_at=None).values_list("pk", flat=True))
        if marked:
            evaluate_changed.delay(organisation.pk)
        for run in runs:
            evaluate_all.delay(organisation.pk, run)
