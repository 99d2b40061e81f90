"""A deal that the CRM has merged into another leaves it the history of its alerts and its snoozes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.dispatch import receiver

from deals.signals import deals_merged

# One alert stays open of those that are the same on the survivor now: its own, else the one opened first.
_OPEN = """
WITH pair AS (SELECT * FROM unnest(%(losers)s::bigint[], %(survivors)s::bigint[]) p(loser, survivor)), open AS (
    SELECT a.id, COALESCE(p.survivor, a.deal_id) AS deal, a.kind, a.subject, a.opened_at, p.loser IS NULL AS own
    FROM alerts_alert a LEFT JOIN pair p ON p.loser = a.deal_id
    WHERE a.organisation_id = %(org)s AND a.resolved_at IS NULL AND a.deal_id = ANY(%(losers)s || %(survivors)s)
)
SELECT id, first_value(id) OVER (PARTITION BY deal, kind, subject ORDER BY own DESC, opened_at, id),
       min(opened_at) OVER (PARTITION BY deal, kind, subject)
FROM open
"""
_FEEDBACK = """
UPDATE alerts_feedback f SET alert_id = x.kept FROM (
    SELECT DISTINCT ON (i.kept, f.user_id) f.id, i.kept
    FROM unnest(%(same)s::bigint[], %(kept)s::bigint[]) i(same, kept)
    JOIN alerts_feedback f ON f.organisation_id = %(org)s AND f.alert_id = i.same
    WHERE NOT EXISTS (SELECT FROM alerts_feedback o
                      WHERE o.organisation_id = %(org)s AND o.alert_id = i.kept AND o.user_id = f.user_id)
    ORDER BY i.kept, f.user_id, f.given_at DESC
) x WHERE f.organisation_id = %(org)s AND f.id = x.id
"""
# That it came from another deal is a difference which the next evaluation writes, the deal's mask with it.
_KEPT = """
UPDATE alerts_alert a SET opened_at = i.since, evidence = a.evidence || '{"merged": true}'
FROM unnest(%(kept)s::bigint[], %(since)s::timestamptz[]) i(kept, since)
WHERE a.organisation_id = %(org)s AND a.id = i.kept
"""
_MOVED = """
UPDATE {table} t SET deal_id = p.survivor FROM unnest(%(losers)s::bigint[], %(survivors)s::bigint[]) p(loser, survivor)
WHERE t.organisation_id = %(org)s AND t.deal_id = p.loser RETURNING t.deal_id
"""
# A survivor's own snooze lasts, else the newest of the losers'.
_SNOOZES = """
WITH pair AS (SELECT * FROM unnest(%(losers)s::bigint[], %(survivors)s::bigint[]) p(loser, survivor)), open AS (
    SELECT s.id, row_number() OVER (PARTITION BY COALESCE(p.survivor, s.deal_id), s.kind, s.subject
                                    ORDER BY p.loser IS NULL DESC, s.created_at DESC, s.id) AS n
    FROM alerts_snooze s LEFT JOIN pair p ON p.loser = s.deal_id
    WHERE s.organisation_id = %(org)s AND s.ended_at IS NULL AND s.deal_id = ANY(%(losers)s || %(survivors)s)
)
UPDATE alerts_snooze s SET ended_at = %(now)s FROM open o WHERE s.organisation_id = %(org)s AND s.id = o.id AND o.n > 1
"""


@receiver(deals_merged)
def take_over(sender: Any, organisation: int, pairs: Sequence[tuple[int, int]], now: datetime, **_: Any) -> set[int]:
    """See `deals.signals.deals_merged`. No alert is open twice on a survivor, and what was open goes on."""
    losers, survivors = map(list, zip(*pairs, strict=True))
    scope: dict[str, Any] = {"org": organisation, "losers": losers, "survivors": survivors, "now": now}
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, scope)
        found = cursor.fetchall()
        if same := [(pk, kept) for pk, kept, _ in found if pk != kept]:
            ids, kept_ids = map(list, zip(*same, strict=True))
            cursor.execute(_FEEDBACK, {**scope, "same": ids, "kept": kept_ids})
            cursor.execute("DELETE FROM alerts_alert WHERE organisation_id = %s AND id = ANY(%s)", [organisation, ids])
        if kept := {kept: since for _, kept, since in found}:
            cursor.execute(_KEPT, {**scope, "kept": list(kept), "since": list(kept.values())})
        cursor.execute(_SNOOZES, scope)
        moved: set[int] = set()
        for table in ("alerts_alert", "alerts_snooze"):
            cursor.execute(_MOVED.format(table=table), scope)
            moved.update(row[0] for row in cursor.fetchall())
    return moved
