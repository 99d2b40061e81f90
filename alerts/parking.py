"""One bad deal never keeps the others from being evaluated: it is found, parked, and told to the admin.

Nothing is spent on that as long as all is well: the evaluation is tried as it is, and only when the database refuses
the data of a deal once more in parts, between savepoints.
"""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from django.db import DatabaseError, DataError, IntegrityError, InternalError, connection, transaction

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import engine
from deals import summaries
from deals.clock import Clock
from deals.models import Deal
from deals.querysets import DealQuerySet

logger = logging.getLogger(__name__)

# A lost connection or a deadlock (OperationalError) is no deal's fault, a wrong statement (ProgrammingError) is ours.
BAD_DATA = (DataError, IntegrityError, InternalError)
FEW = 100  # deals whose judging takes less time than planning how
UNPARK = "DELETE FROM alerts_parked WHERE organisation_id = %s AND deal_id = ANY(%s::bigint[])"

# Evaluates deals by their ids; returns those that could not be. In the caller's transaction and tenant context.
Evaluate = Callable[[Organisation, Collection[int], Clock], set[int]]
Result = TypeVar("Result")


def in_tenant(organisation: Organisation, work: Callable[[Evaluate], Result]) -> Result:
    """`work` in a transaction of its own; when the data of a deal makes it fail, again with care."""
    try:
        with tenant(organisation):
            return work(evaluate)
    except BAD_DATA as error:
        logger.warning("organisation %s: evaluation failed, looking for the deals: %s", organisation.pk, said(error))
    with tenant(organisation):
        return work(evaluate_carefully)


def evaluate(organisation: Organisation, deals: Collection[int], clock: Clock) -> set[int]:
    """Evaluate all of them, or fail."""
    engine.evaluate(organisation, _among(organisation, deals), clock, few=len(deals) <= FEW)
    return set()


def evaluate_carefully(organisation: Organisation, deals: Collection[int], clock: Clock) -> set[int]:
    """Evaluate those that can be and park the others. About twice as many statements as bad deals times log₂(deals)."""

    def judge(part: Collection[int]) -> None:
        engine.evaluate(organisation, _among(organisation, part), clock, roll=False, few=len(part) <= FEW)

    def rebuild(part: Collection[int]) -> None:
        summaries.rebuild(organisation.pk, part, clock)

    due = set(organisation.deals.filter(roll_at__lte=clock.now).values_list("pk", flat=True))
    bad = find_bad(rebuild, sorted(due))
    if bad:  # until they are rebuilt after a change, or they would stop every evaluation
        organisation.deals.filter(pk__in=bad).update(roll_at=None)
    synced = set(_among(organisation, due).synced().values_list("pk", flat=True))
    bad |= find_bad(judge, sorted({*deals, *synced} - bad.keys()))
    _park(organisation, bad, clock)
    return set(bad)


def _among(organisation: Organisation, deals: Collection[int]) -> DealQuerySet:
    return Deal.objects.filter(organisation=organisation).among(deals)


def find_bad(work: Callable[[Collection[int]], None], deals: Sequence[int]) -> dict[int, str]:
    """Do `work` on all `deals` but those that alone make it fail; these, and what was said of each."""
    if not deals:
        return {}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            work(deals)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a key that fails at the commit would fail for everybody
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    except BAD_DATA as error:
        if len(deals) == 1:
            return {deals[0]: said(error)}
        middle = len(deals) // 2
        return find_bad(work, deals[:middle]) | find_bad(work, deals[middle:])
    return {}


def said(error: DatabaseError) -> str:
    """The database's first sentence: neither the row nor the statement, and nothing that looks like a key."""
    diagnosis = getattr(error.__cause__, "diag", None)
    sentence = getattr(diagnosis, "message_primary", None) or type(error).__name__
    return re.sub(r"[\w+/=.@-]{20,}", "…", sentence)[:500]


def _park(organisation: Organisation, bad: dict[int, str], clock: Clock) -> None:
    if not bad:
        return
    for deal, sentence in list(bad.items())[:10]:
        logger.error("organisation %s: deal %s is parked: %s", organisation.pk, deal, sentence)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alerts_parked AS t (organisation_id, deal_id, error, attempts, parked_at, tried_at) "
            "SELECT %(org)s, deal_id, error, 1, %(now)s, %(now)s "
            "FROM unnest(%(deals)s::bigint[], %(errors)s::text[]) AS b(deal_id, error) ORDER BY deal_id "
            "ON CONFLICT (organisation_id, deal_id) DO UPDATE "
            "SET error = excluded.error, attempts = t.attempts + 1, tried_at = excluded.tried_at",
            {"org": organisation.pk, "now": clock.now, "deals": list(bad), "errors": list(bad.values())},
        )
