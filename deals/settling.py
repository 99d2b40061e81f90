"""What is derived from the whole of a deal, once for all that a first synchronisation has read of it.

A deal that waits for it has no `created_on`, which every settled deal has (docs/adr/0021).
"""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import connection
from django.db.backends.utils import CursorWrapper

from accounts.tenancy import tenant
from deals import rates, search, summaries
from deals.clock import Clock
from deals.models import Deal, Source

AT_ONCE = 5_000  # deals in one transaction


def unsettle(cursor: CursorWrapper, source: Source, deals: Collection[int], companies: Collection[int]) -> None:
    """`deals`, and those of `companies` (ids), wait for `settle` again where something else had settled them."""
    if not (deals or companies):
        return
    cursor.execute(
        "UPDATE deals_deal SET created_on = NULL WHERE organisation_id = %(org)s AND created_on IS NOT NULL AND id IN ("
        "SELECT unnest(%(deals)s::bigint[]) "
        "UNION SELECT id FROM deals_deal WHERE organisation_id = %(org)s AND company_id = ANY(%(companies)s))",
        {"org": source.organisation_id, "deals": list(deals), "companies": list(companies)},
    )


def waiting(source: Source) -> list[int]:
    """The next deals that wait, for one call of `settle`. One statement."""
    deals = Deal.objects.filter(organisation=source.organisation_id, source=source, created_on=None)
    return list(deals.order_by("pk").values_list("pk", flat=True)[: 2 * AT_ONCE])


def settle(source: Source, deals: Sequence[int], clock: Clock) -> None:
    """Settle what `waiting` found, in transactions of its own: those that are too many for one in two at a time."""
    middle = len(deals) if len(deals) <= AT_ONCE else (len(deals) + 1) // 2
    with ThreadPoolExecutor(1, thread_name_prefix="settling") as pool:
        beside = pool.submit(_settle_beside, source, deals[middle:], clock) if deals[middle:] else None
        _settle(source, deals[:middle], clock)
        if beside:  # nobody waits for the other in a transaction: a third who changes the rates may be between the two
            beside.result()


def _settle_beside(source: Source, deals: Sequence[int], clock: Clock) -> None:
    try:
        _settle(source, deals, clock)
    finally:
        connection.close()  # this thread's


def _settle(source: Source, deals: Sequence[int], clock: Clock) -> None:
    with tenant(source.organisation_id):
        with connection.cursor() as cursor:
            rates.keep_still(cursor, source.organisation_id)
            rates.convert(cursor, source.organisation_id, deals, clock)
            search.rebuild(cursor, source.organisation_id, deals)
        summaries.rebuild(source.organisation_id, deals, clock)
