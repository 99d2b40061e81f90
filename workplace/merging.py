"""A deal that the CRM has merged into another leaves it its notes, and that it was looked at in a review."""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.dispatch import receiver

from deals.signals import deals_merged

_NOTES = """
UPDATE workplace_note t SET deal_id = p.survivor
FROM unnest(%(losers)s::bigint[], %(survivors)s::bigint[]) p(loser, survivor)
WHERE t.organisation_id = %(org)s AND t.deal_id = p.loser RETURNING t.deal_id
"""
_REVIEWED = """
UPDATE workplace_revieweddeal t SET deal_id = x.survivor FROM (
    SELECT DISTINCT ON (r.review_id, p.survivor) r.id, p.survivor
    FROM unnest(%(losers)s::bigint[], %(survivors)s::bigint[]) p(loser, survivor)
    JOIN workplace_revieweddeal r ON r.organisation_id = %(org)s AND r.deal_id = p.loser
    WHERE NOT EXISTS (SELECT FROM workplace_revieweddeal o WHERE o.organisation_id = %(org)s
                      AND o.review_id = r.review_id AND o.deal_id = p.survivor)
    ORDER BY r.review_id, p.survivor, r.reviewed_at DESC
) x WHERE t.organisation_id = %(org)s AND t.id = x.id RETURNING t.deal_id
"""


@receiver(deals_merged)
def take_over(sender: Any, organisation: int, pairs: Sequence[tuple[int, int]], **_: Any) -> set[int]:
    """See `deals.signals.deals_merged`."""
    losers, survivors = map(list, zip(*pairs, strict=True))
    moved: set[int] = set()
    with connection.cursor() as cursor:
        for statement in (_NOTES, _REVIEWED):
            cursor.execute(statement, {"org": organisation, "losers": losers, "survivors": survivors})
            moved.update(row[0] for row in cursor.fetchall())
        cursor.execute(
            "DELETE FROM workplace_revieweddeal WHERE organisation_id = %s AND deal_id = ANY(%s)",
            [organisation, losers],
        )
    return moved
