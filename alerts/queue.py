"""Deals that need evaluation: rows in Postgres. The ring to the worker may be lost, the row is not (docs/adr/0009)."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from accounts.models import Organisation
from alerts import parking
from alerts.models import Pending
from deals.clock import Clock

logger = logging.getLogger(__name__)

BATCH = 5_000
LEASE = 30  # seconds of silence after which the database takes the turn, and the session, from a worker
# After an evaluation the next one waits: a hundred changes within 5 s are three evaluations at most.
PAUSE, LONG_PAUSE = timedelta(seconds=1), timedelta(seconds=5)
MARGIN = timedelta(milliseconds=100)  # by which the clocks of two machines may differ
MANY = 10  # changes in one evaluation after which more are to be expected
# Made with the first mark: two workers that both wanted to make it would wait for each other.
FIRST_TURN = (
    "INSERT INTO alerts_turn (organisation_id, rests_until, rung) SELECT %s, to_timestamp(0), false "
    "WHERE NOT EXISTS (SELECT FROM alerts_turn WHERE organisation_id = %s) ON CONFLICT DO NOTHING"
)


def mark(organisation: Organisation, deals: Iterable[int]) -> None:
    """Say that `deals` have changed. Belongs in the transaction of the change; many marks are one evaluation."""
    if not (ids := sorted(deals)):
        return
    with connection.cursor() as cursor:
        # Sorted, so that two transactions never wait for each other.
        cursor.execute(
            "INSERT INTO alerts_pending AS t (organisation_id, deal_id, generation) "
            "SELECT %s, id, 1 FROM unnest(%s::bigint[]) id "
            "ON CONFLICT (organisation_id, deal_id) DO UPDATE SET generation = t.generation + 1; " + FIRST_TURN,
            [organisation.pk, ids, *[organisation.pk] * 2],
        )


def is_marked(organisation: Organisation) -> bool:
    return Pending.objects.filter(organisation=organisation).exists()


@dataclass(frozen=True)
class Attempt:
    """`taken`: it was this worker's turn, so it looks once more when the turn has ended. `ring_at`: ring it then."""

    taken: bool = False
    ring_at: datetime | None = None


def evaluate_in_turn(
    organisation: Organisation, clock: Clock, evaluate: parking.Evaluate = parking.evaluate
) -> Attempt:
    """Evaluate what is marked when no other worker is at it and the pause is over; one batch.

    The turn ends with the caller's transaction: at once when the worker dies, after LEASE seconds when it is silent.
    """
    rests_until, rung = _take_turn(organisation, clock)
    if rests_until is None:
        return Attempt()  # whoever has the turn looks again afterwards
    if not clock.now < rests_until <= clock.now + LONG_PAUSE:  # longer: written by a machine whose clock was wrong
        evaluate_pending(organisation, clock, evaluate)
        return Attempt(taken=True)
    if rung:
        return Attempt()
    organisation.turns.update(rung=True)
    return Attempt(ring_at=rests_until + MARGIN)


def lease() -> str:
    """The statement that makes the transaction a lease."""
    return f"SET LOCAL idle_in_transaction_session_timeout = '{LEASE}s'"


def _take_turn(organisation: Organisation, clock: Clock) -> tuple[datetime | None, bool]:
    """Lock the organisation's turn; returns until when it rests and whether somebody will be rung then."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"{lease()}; SELECT rests_until, rung FROM alerts_turn WHERE organisation_id = %s FOR UPDATE SKIP LOCKED",
            [organisation.pk],
        )
        if (turn := cursor.fetchone()) is None:  # taken, or of marks that are older than turns
            cursor.execute(FIRST_TURN + " RETURNING rests_until, rung", [organisation.pk] * 2)
            turn = cursor.fetchone()
        return turn or (None, False)


def evaluate_pending(organisation: Organisation, clock: Clock, evaluate: parking.Evaluate = parking.evaluate) -> int:
    """Evaluate what is marked, at most one batch; returns how many deals. A mark that comes meanwhile stays.

    Runs in the caller's transaction: when it fails, the marks stay as well.
    """
    pending = dict(
        Pending.objects.filter(organisation=organisation).order_by("pk").values_list("deal_id", "generation")[:BATCH]
    )
    if not pending:
        return 0
    bad = evaluate(organisation, pending, clock)
    changes = sum(pending.values())
    pause = timedelta(0) if len(pending) == BATCH else LONG_PAUSE if changes > MANY else PAUSE
    with connection.cursor() as cursor:
        # A commit that a power cut undoes leaves the marks as well, so it need not wait for the disk.
        cursor.execute(
            "SET LOCAL synchronous_commit = off; "
            "DELETE FROM alerts_pending p USING unnest(%s::bigint[], %s::bigint[]) AS d(deal_id, generation) "
            "WHERE p.organisation_id = %s AND p.deal_id = d.deal_id AND p.generation = d.generation; "
            f"{parking.UNPARK}; "
            "UPDATE alerts_turn SET rests_until = %s, rung = false WHERE organisation_id = %s",
            [
                *(list(pending), list(pending.values()), organisation.pk),
                *(organisation.pk, list(pending.keys() - bad)),
                *(clock.now + pause, organisation.pk),
            ],
        )
    logger.info("organisation %s: %s changes of %s deals evaluated", organisation.pk, changes, len(pending))
    return len(pending)
