"""What is derived from the whole of a deal, once for all that a first synchronisation has read of it.

A deal that waits for it has no `created_on`, which every settled deal has (docs/adr/0021).
"""

from collections.abc import Collection

from django.db import connection
from django.db.backends.utils import CursorWrapper

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


def settle(source: Source, clock: Clock) -> bool:
    """Settle the next deals that wait, and say whether there may be more. In the caller's transaction."""
    waiting = Deal.objects.filter(organisation=source.organisation_id, source=source, created_on=None)
    deals = list(waiting.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    with connection.cursor() as cursor:
        rates.keep_still(cursor, source.organisation_id)
        rates.convert(cursor, source.organisation_id, deals, clock)
        search.rebuild(cursor, source.organisation_id, deals)
    summaries.rebuild(source.organisation_id, deals, clock)
    return bool(deals)
