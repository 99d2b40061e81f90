"""What the worker does for alerts. Tasks carry ids and run twice harmlessly."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from celery import shared_task
from django.db import connection

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import parking, queue, snoozing
from alerts.models import Run
from deals import rates, titles
from deals.clock import Clock
from deals.models import Deal
from deals.seniority import FINGERPRINT

logger = logging.getLogger(__name__)

CHUNK = 5_000  # deals between two steps of a run's progress
SHIFT = 60  # seconds that one task works before it makes room for others


@shared_task
def evaluate_changed(organisation_id: int) -> None:
    """Evaluate the deals of one organisation that are marked as changed, until none is left.

    In the pause after an evaluation it only sees to it that somebody is rung when it ends.
    """
    organisation = Organisation.objects.get(pk=organisation_id)
    marked = True
    while marked:
        clock = Clock.of(organisation)
        attempt = parking.in_tenant(organisation, partial(queue.evaluate_in_turn, organisation, clock))
        if attempt.ring_at:
            evaluate_changed.apply_async((organisation_id,), eta=attempt.ring_at)
        if not attempt.taken:
            return
        # A ring that found the turn taken has left its marks to us: look only now that it has ended.
        with tenant(organisation):
            marked = queue.is_marked(organisation)


@shared_task
def evaluate_all(organisation_id: int, run_id: int) -> None:
    """Carry on an evaluation of all deals, chunk by chunk, each with its progress in one transaction."""
    organisation = Organisation.objects.get(pk=organisation_id)
    end = time.monotonic() + SHIFT
    while parking.in_tenant(organisation, partial(_evaluate_chunk, organisation, run_id)):
        if time.monotonic() > end:
            evaluate_all.delay(organisation_id, run_id)
            return


def _evaluate_chunk(organisation: Organisation, run_id: int, evaluate: parking.Evaluate) -> bool:
    """Evaluate the next deals by the settings in force; False when there is nothing left to do here."""
    with connection.cursor() as cursor:
        cursor.execute(queue.lease())
    runs = Run.objects.filter(organisation=organisation, finished_at=None)
    run = runs.select_for_update(skip_locked=True).filter(pk=run_id).first()
    if run is None:  # finished, or another worker is at it
        return False
    if runs.filter(pk__gt=run_id).exists():  # that one evaluates everything, later: this one ends when it does
        return False
    clock = Clock.of(organisation)
    deals = Deal.objects.filter(organisation=organisation).synced()
    chunk = list(deals.filter(pk__gt=run.position).order_by("pk").values_list("pk", flat=True)[:CHUNK])
    if not chunk:
        run.total = run.done
        run.save(update_fields=["total"])
        runs.filter(pk__lte=run_id).update(finished_at=clock.now)
        return False
    bad = evaluate(organisation, chunk, clock)
    with connection.cursor() as cursor:
        cursor.execute(parking.UNPARK, [organisation.pk, list(set(chunk) - bad)])
    run.position, run.done = chunk[-1], run.done + len(chunk)
    run.save(update_fields=["position", "done"])
    return True


def start_run(organisation: Organisation, cause: str, key: str, clock: Clock) -> Run:
    """Begin an evaluation of all deals, once per cause and key, and ring the worker after the commit."""
    run, created = Run.objects.get_or_create(
        organisation=organisation,
        cause=cause,
        key=key,
        defaults={
            "started_at": clock.now,
            "total": Deal.objects.filter(organisation=organisation).synced().count,  # type: ignore[misc]  # if made
        },
    )
    if created:
        evaluate_all.delay_on_commit(organisation.pk, run.pk)  # type: ignore[attr-defined]
    return run


@shared_task
def start_daily() -> None:
    start_daily_runs(datetime.now(UTC))


def start_daily_runs(now: datetime) -> None:
    """One run per organisation and local date, from its midnight on; after an outage the date of today."""

    def start(organisation: Organisation) -> None:
        clock = Clock.of(organisation, now)
        with tenant(organisation):
            start_run(organisation, Run.Cause.DAILY, clock.today.isoformat(), clock)

    _for_each_organisation(start)


@shared_task
def relevel_titles(organisation_id: int) -> None:
    """Judge all job titles of one organisation by the rules of this release, part by part in its own transaction."""
    organisation = Organisation.objects.get(pk=organisation_id)
    with tenant(organisation):
        parts = titles.parts(organisation)
    mine = titles.outdated().filter(pk=organisation_id)
    for part in parts:
        with tenant(organisation):
            if not mine.select_for_update(skip_locked=True, no_key=True).first():  # done, or another worker is at it
                return
            queue.mark(organisation, titles.relevel(organisation, Clock.of(organisation), part))
    mine.update(title_rules=FINGERPRINT)
    evaluate_changed.delay(organisation_id)


@shared_task
def convert_amounts(organisation_id: int) -> None:
    """The values of all open deals by the rates in force today, part by part in its own transaction."""
    organisation = Organisation.objects.get(pk=organisation_id)
    clock = Clock.of(organisation)
    with tenant(organisation):
        name = rates.name_of(organisation, clock)
    last: int | None = 0
    while last is not None:
        with tenant(organisation):
            last = rates.convert_part(organisation, clock, last)
    with tenant(organisation):
        organisation.sources.exclude(valued_by=name).update(valued_by=name)


@shared_task
def sweep() -> None:
    """Find what nobody rang for: meetings that have become past, snoozes that are over, marked deals, runs that were
    interrupted, a release with other rules for job titles, exchange rates that hold from today on."""
    _for_each_organisation(_sweep)


def _sweep(organisation: Organisation) -> None:
    with tenant(organisation):
        clock = Clock.of(organisation)
        past = organisation.deals.synced().filter(roll_at__lte=clock.now).values_list("pk", flat=True)
        queue.mark(organisation, past.union(snoozing.due(organisation, clock)))
        marked = queue.is_marked(organisation)
        # The newest does the work of those before it.
        run = Run.objects.filter(organisation=organisation, finished_at=None).order_by("pk").last()
        unconverted = rates.is_outdated(organisation, clock)
    if marked:
        evaluate_changed.delay(organisation.pk)
    if run:
        evaluate_all.delay(organisation.pk, run.pk)
    if unconverted:
        convert_amounts.delay(organisation.pk)
    if titles.is_outdated(organisation):
        relevel_titles.delay(organisation.pk)


def _for_each_organisation(work: Callable[[Organisation], None]) -> None:
    """One that fails does not keep the others waiting."""
    for organisation in Organisation.objects.order_by("pk"):
        try:
            work(organisation)
        except Exception:
            logger.exception("organisation %s", organisation.pk)
