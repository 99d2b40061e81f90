"""Deals that need evaluation: rows in Postgres. The ring to the worker may be lost, the row is not."""

from collections.abc import Iterable

from django.db import connection

from accounts.models import Organisation
from alerts import engine
from alerts.models import Pending
from deals.clock import Clock
from deals.models import Deal

BATCH = 20_000
FEW = 100  # deals whose judging takes less time than planning how


def mark(organisation: Organisation, deals: Iterable[int]) -> None:
    """Say that `deals` have changed. Belongs in the transaction of the change; many marks are one evaluation."""
    if not (ids := sorted(deals)):
        return
    with connection.cursor() as cursor:
        # Sorted, so that two transactions never wait for each other.
        cursor.execute(
            "INSERT INTO alerts_pending AS t (organisation_id, deal_id, generation) "
            "SELECT %s, id, 1 FROM unnest(%s::bigint[]) id "
            "ON CONFLICT (organisation_id, deal_id) DO UPDATE SET generation = t.generation + 1",
            [organisation.pk, ids],
        )


def evaluate_pending(organisation: Organisation, clock: Clock) -> int:
    """Evaluate what is marked, at most one batch; returns how many deals. A mark that comes meanwhile stays.

    Runs in the caller's transaction: when it fails, the marks stay as well.
    """
    pending = dict(
        Pending.objects.filter(organisation=organisation).order_by("pk").values_list("deal_id", "generation")[:BATCH]
    )
    if not pending:
        return 0
    deals = Deal.objects.filter(organisation=organisation).among(pending)
    engine.evaluate(organisation, deals, clock, prepared=len(pending) <= FEW)
    with connection.cursor() as cursor:
        # A commit that a power cut undoes leaves the marks as well, so it need not wait for the disk.
        cursor.execute(
            "SET LOCAL synchronous_commit = off; "
            "DELETE FROM alerts_pending p USING unnest(%s::bigint[], %s::bigint[]) AS d(deal_id, generation) "
            "WHERE p.organisation_id = %s AND p.deal_id = d.deal_id AND p.generation = d.generation",
            [list(pending), list(pending.values()), organisation.pk],
        )
    return len(pending)
