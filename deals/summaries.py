"""What the activities of a deal add up to, written beside the deal in the transaction that changes them.

Without these columns the same evaluation costs two to eight times as much. They are rebuilt from the facts for the
touched deals, by sets; only the passing of time carries them on. Only rows that differ are written.
"""

from collections.abc import Collection, Iterable
from typing import Any

from django.db import connection

from deals import plans
from deals.clock import Clock
from deals.models import Deal

# Interaction, engaged, streak: PRODUCT §1 and §2. Of the whole history, or of what is in {since}. Materialized, as for
# an organisation that the statistics do not know yet each part would be computed anew for every deal.
_FACTS = """
WITH d AS MATERIALIZED (
    SELECT d.* FROM deals_deal d WHERE d.organisation_id = %(org)s AND d.id = ANY(%(deals)s)
), a AS MATERIALIZED (
    SELECT l.deal_id, l.occurred_at, a.id, a.kind, a.state, a.internal, a.nobody_coming, a.ends_at
    FROM d
    JOIN deals_dealactivity l ON l.organisation_id = %(org)s AND l.deal_id = d.id {since}
    JOIN deals_activity a ON a.organisation_id = %(org)s AND a.id = l.activity_id
    WHERE NOT a.deleted
), i AS MATERIALIZED (
    SELECT a.*, (a.occurred_at AT TIME ZONE %(zone)s)::date AS occurred_on
    FROM a WHERE a.state = 'held' AND NOT a.internal AND a.occurred_at <= %(now)s
), engagement AS MATERIALIZED (
    SELECT i.deal_id, i.occurred_at, i.occurred_on, i.id, p.person_id
    FROM i JOIN deals_participant p ON p.organisation_id = %(org)s AND p.activity_id = i.id AND p.engaged
), people AS (
    SELECT e.deal_id, e.person_id, min(e.occurred_on) AS first_on, max(e.occurred_on) AS last_on,
           (array_agg(e.id ORDER BY e.occurred_at DESC, e.id DESC))[1] AS last_activity_id,
           count(DISTINCT e.occurred_at)::int AS interactions
    FROM engagement e GROUP BY e.deal_id, e.person_id
), last AS MATERIALIZED (
    SELECT DISTINCT ON (deal_id) deal_id, id, occurred_at, occurred_on FROM i
    ORDER BY deal_id, occurred_at DESC, id DESC
), moments AS (
    -- Interactions at the same time count as one.
    SELECT deal_id, occurred_at, min(occurred_on) AS occurred_on, min(person_id) AS one, max(person_id) AS other
    FROM engagement GROUP BY deal_id, occurred_at
), newest AS MATERIALIZED (
    SELECT DISTINCT ON (deal_id) deal_id, one AS person_id FROM moments WHERE one = other
    ORDER BY deal_id, occurred_at DESC
), broken AS MATERIALIZED (
    SELECT m.deal_id, max(m.occurred_at) AS at FROM moments m LEFT JOIN newest n ON n.deal_id = m.deal_id
    WHERE m.one <> m.other OR m.one IS DISTINCT FROM n.person_id GROUP BY m.deal_id
), streak AS MATERIALIZED (
    SELECT m.deal_id, n.person_id, count(*)::int AS length,
           (array_agg(m.occurred_on ORDER BY m.occurred_at))[1:10] AS dates
    FROM moments m JOIN newest n ON n.deal_id = m.deal_id LEFT JOIN broken b ON b.deal_id = m.deal_id
    WHERE b.at IS NULL OR m.occurred_at > b.at GROUP BY m.deal_id, n.person_id
), ahead AS MATERIALIZED (
    SELECT deal_id, min(occurred_at) AS at FROM a
    WHERE state = 'held' AND NOT internal AND occurred_at > %(now)s GROUP BY deal_id
"""
_HISTORY = """
), gone AS (
    DELETE FROM deals_dealperson x USING d WHERE x.organisation_id = %(org)s AND x.deal_id = d.id
    AND NOT EXISTS (SELECT FROM people p WHERE p.deal_id = x.deal_id AND p.person_id = x.person_id)
), written AS (
    INSERT INTO deals_dealperson AS t
        (organisation_id, deal_id, person_id, first_on, last_on, last_activity_id, interactions)
    SELECT %(org)s, deal_id, person_id, first_on, last_on, last_activity_id, interactions FROM people
    ON CONFLICT (organisation_id, deal_id, person_id) DO UPDATE SET first_on = excluded.first_on,
        last_on = excluded.last_on, last_activity_id = excluded.last_activity_id, interactions = excluded.interactions
    WHERE (t.first_on, t.last_on, t.last_activity_id, t.interactions) IS DISTINCT FROM
          (excluded.first_on, excluded.last_on, excluded.last_activity_id, excluded.interactions)
), engaged AS MATERIALIZED (
    SELECT p.deal_id, count(*)::int AS engaged_count, count(x.level)::int AS titled_count, max(x.level) AS top_level
    FROM people p JOIN deals_person x ON x.organisation_id = %(org)s AND x.id = p.person_id GROUP BY p.deal_id
), planned AS MATERIALIZED (
    -- A meeting counts on the day on which it ends, one held on the day it took place; a call on its day, no attempt.
    SELECT DISTINCT ON (deal_id) deal_id, id, (u.until AT TIME ZONE %(zone)s)::date AS until_on
    FROM a CROSS JOIN LATERAL (
        SELECT CASE WHEN a.state = 'held' THEN a.occurred_at ELSE GREATEST(a.ends_at, a.occurred_at) END AS until) u
    WHERE NOT a.nobody_coming AND (a.kind = 'meeting' AND a.state IN ('planned', 'held', 'no_show')
          OR a.kind = 'call' AND a.state IN ('planned', 'held'))
    ORDER BY deal_id, u.until DESC, id DESC
), s AS (
    SELECT d.id, (d.created_at AT TIME ZONE %(zone)s)::date AS created_on,
        (d.reopened_at AT TIME ZONE %(zone)s)::date AS reopened_on,
        (GREATEST(COALESCE(d.crm_stage_entered_at, d.stage_seen_at), d.reopened_at, d.created_at)
            AT TIME ZONE %(zone)s)::date AS stage_entered_on,
        COALESCE(GREATEST(COALESCE(d.crm_stage_entered_at, d.stage_seen_at), d.reopened_at) >= d.created_at, false)
            AS stage_known,
        last.occurred_at AS last_interaction_at, last.occurred_on AS last_interaction_on,
        last.id AS last_interaction_id,
        GREATEST((d.created_at AT TIME ZONE %(zone)s)::date, (d.reopened_at AT TIME ZONE %(zone)s)::date,
                 last.occurred_on) AS last_touch_on,
        planned.until_on AS planned_until_on, planned.id AS planned_id,
        streak.person_id AS streak_person_id, COALESCE(streak.dates, '{}') AS streak_on,
        COALESCE(streak.length, 0) AS streak_count,
        COALESCE(engaged.engaged_count, 0) AS engaged_count, COALESCE(engaged.titled_count, 0) AS titled_count,
        engaged.top_level, ahead.at AS roll_at
    FROM d LEFT JOIN last ON last.deal_id = d.id LEFT JOIN planned ON planned.deal_id = d.id
    LEFT JOIN streak ON streak.deal_id = d.id LEFT JOIN engaged ON engaged.deal_id = d.id
    LEFT JOIN ahead ON ahead.deal_id = d.id
)
UPDATE deals_deal t SET ({columns}) = ({values}) FROM s WHERE t.organisation_id = %(org)s AND t.id = s.id
AND ({stored}) IS DISTINCT FROM ({values})
"""
# What has happened since `roll_at`, put after the history that the columns hold already: nothing before it has changed,
# or the deal would have been rebuilt. When a meeting was planned to end does not depend on today.
_ROLL = """
), written AS (
    INSERT INTO deals_dealperson AS t
        (organisation_id, deal_id, person_id, first_on, last_on, last_activity_id, interactions)
    SELECT %(org)s, deal_id, person_id, first_on, last_on, last_activity_id, interactions FROM people
    ON CONFLICT (organisation_id, deal_id, person_id) DO UPDATE SET last_on = excluded.last_on,
        last_activity_id = excluded.last_activity_id, interactions = t.interactions + excluded.interactions
), engaged AS MATERIALIZED (
    SELECT p.deal_id, count(*)::int AS engaged_count, count(x.level)::int AS titled_count, max(x.level) AS top_level
    FROM (
        SELECT deal_id, person_id FROM people UNION
        SELECT e.deal_id, e.person_id FROM d JOIN deals_dealperson e ON e.organisation_id = %(org)s AND e.deal_id = d.id
    ) p JOIN deals_person x ON x.organisation_id = %(org)s AND x.id = p.person_id GROUP BY p.deal_id
), s AS (
    SELECT d.id, COALESCE(last.occurred_at, d.last_interaction_at) AS last_interaction_at,
        COALESCE(last.occurred_on, d.last_interaction_on) AS last_interaction_on,
        COALESCE(last.id, d.last_interaction_id) AS last_interaction_id,
        GREATEST(d.last_touch_on, last.occurred_on) AS last_touch_on,
        CASE WHEN extended IS NULL THEN d.streak_person_id ELSE streak.person_id END AS streak_person_id,
        CASE WHEN extended IS NULL THEN d.streak_on WHEN extended THEN (d.streak_on || streak.dates)[1:10]
             ELSE COALESCE(streak.dates, '{}') END AS streak_on,
        CASE WHEN extended IS NULL THEN d.streak_count WHEN extended THEN d.streak_count + streak.length
             ELSE COALESCE(streak.length, 0) END AS streak_count,
        COALESCE(engaged.engaged_count, 0) AS engaged_count, COALESCE(engaged.titled_count, 0) AS titled_count,
        engaged.top_level, ahead.at AS roll_at
    FROM d LEFT JOIN last ON last.deal_id = d.id LEFT JOIN streak ON streak.deal_id = d.id
    LEFT JOIN broken ON broken.deal_id = d.id LEFT JOIN engaged ON engaged.deal_id = d.id
    LEFT JOIN ahead ON ahead.deal_id = d.id
    -- NULL: nobody was engaged; true: the same person went on alone; false: the streak begins anew, or ends.
    CROSS JOIN LATERAL (SELECT CASE WHEN COALESCE(streak.deal_id, broken.deal_id) IS NOT NULL THEN
        broken.at IS NULL AND streak.person_id IS NOT DISTINCT FROM d.streak_person_id END AS extended) x
)
UPDATE deals_deal t SET ({columns}) = ({values}) FROM s WHERE t.organisation_id = %(org)s AND t.id = s.id
"""
_HISTORIC = (
    *("last_interaction_at", "last_interaction_on", "last_interaction_id", "last_touch_on", "streak_person_id"),
    *("streak_on", "streak_count", "engaged_count", "titled_count", "top_level", "roll_at"),
)
_COLUMNS = (
    *("created_on", "reopened_on", "stage_entered_on", "stage_known", "planned_until_on", "planned_id"),
    *_HISTORIC,
)


def _with_columns(sql: str, since: str, columns: Collection[str]) -> str:
    sql = sql.replace("{since}", since)
    for name, prefix in (("{columns}", ""), ("{values}", "s."), ("{stored}", "t.")):
        sql = sql.replace(name, ", ".join(prefix + column for column in columns))
    return sql


HISTORY = _with_columns(_FACTS + _HISTORY, "", _COLUMNS)
ROLL = _with_columns(_FACTS + _ROLL, "AND l.occurred_at >= d.roll_at", _HISTORIC)

# Who holds a role since when is remembered for each holder; the role is known since the earliest of today's holders.
ROLES = """
WITH d AS MATERIALIZED (
    SELECT d.id, d.roles, d.created_at, s.first_synced_at
    FROM deals_deal d JOIN deals_source s ON s.organisation_id = %(org)s AND s.id = d.source_id
    WHERE d.organisation_id = %(org)s AND d.id = ANY(%(deals)s)
), held AS (
    SELECT DISTINCT d.id AS deal_id, r.role, c.person_id,
           -- Known since creation, should that move: when the deal is merged with an older one.
           CASE WHEN d.first_synced_at IS NULL OR h.at < d.first_synced_at THEN d.created_at
                ELSE COALESCE(h.at, GREATEST(%(now)s, d.created_at)) END AS since_at
    FROM d JOIN deals_dealcontact dc ON dc.organisation_id = %(org)s AND dc.deal_id = d.id
    JOIN deals_contact c ON c.organisation_id = %(org)s AND c.id = dc.contact_id AND NOT c.deleted
    JOIN deals_person p ON p.organisation_id = %(org)s AND p.id = c.person_id
    CROSS JOIN LATERAL unnest(p.roles || dc.roles) r(role)
    CROSS JOIN LATERAL (SELECT (d.roles #>> ARRAY[r.role, 'held', c.person_id::text])::timestamptz AS at) h
), role AS (
    SELECT h.deal_id, h.role, jsonb_build_object(
        'holders', jsonb_agg(h.person_id ORDER BY h.person_id), 'held', jsonb_object_agg(h.person_id, h.since_at),
        'since', (min(h.since_at) AT TIME ZONE %(zone)s)::date,
        'last_on', max(e.last_on),
        'activity', (array_agg(e.last_activity_id ORDER BY e.last_on DESC NULLS LAST, e.last_activity_id DESC))[1]
    ) AS facts
    FROM held h LEFT JOIN deals_dealperson e
         ON e.organisation_id = %(org)s AND e.deal_id = h.deal_id AND e.person_id = h.person_id
    GROUP BY h.deal_id, h.role
), s AS (
    SELECT x.id, COALESCE(jsonb_object_agg(x.role, x.facts) FILTER (WHERE x.role IS NOT NULL), '{}') AS roles
    FROM (SELECT id, NULL::text AS role, NULL::jsonb AS facts FROM d UNION ALL SELECT * FROM role) x GROUP BY x.id
)
UPDATE deals_deal t SET roles = s.roles FROM s
WHERE t.organisation_id = %(org)s AND t.id = s.id AND t.roles IS DISTINCT FROM s.roles
"""


def rebuild(organisation: int, deals: Collection[int], clock: Clock) -> None:
    """Bring the derived columns of `deals` up to date. Runs in the caller's transaction and tenant context."""
    _execute((HISTORY, ROLES), organisation, deals, clock)


def roll(organisation: int, clock: Clock) -> list[int]:
    """Carry on the deals of which an activity that lay ahead has happened meanwhile, without a write at the CRM.

    The result is that of `rebuild`, without reading the whole history. Returns the ids of the deals.
    """
    due = Deal.objects.filter(organisation=organisation, roll_at__lte=clock.now).order_by("pk")
    # Locked, so that what is put after the columns is held against the columns as they are: what a synchronisation
    # rebuilds at the same moment must not be counted twice.
    ids = list(due.select_for_update(no_key=True).values_list("pk", flat=True)[:50_000])
    _execute((ROLL, ROLES), organisation, ids, clock)
    return ids


def _execute(statements: Iterable[str], organisation: int, deals: Collection[int], clock: Clock) -> None:
    if not deals:
        return
    scope: dict[str, Any] = {"org": organisation, "deals": sorted(deals), "now": clock.now, "zone": clock.zone.key}
    with connection.cursor() as cursor:
        for statement in statements:
            plans.execute_for(len(deals), cursor, statement, scope)
