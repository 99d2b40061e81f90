"""What a CRM tells of single deals, written: their history, and everybody who takes part in them.

Both are told whole and replace what was here; doing it again changes nothing. Part of `deals.upsert`.
"""

from typing import Any

from django.db.backends.utils import CursorWrapper

from deals.copy import load
from deals.models import Source
from deals.records import Batch, DealParticipantsRecord, HistoryRecord

Scope = dict[str, Any]


def write(cursor: CursorWrapper, source: Source, batch: Batch) -> set[int]:
    """Returns the ids of the deals that have changed by it."""
    scope: Scope = {"org": source.organisation_id, "source": source.pk}
    touched: set[int] = set()
    if batch.histories:
        touched |= _histories(cursor, scope, {r.deal: r for r in batch.histories})
    if batch.participants:
        touched |= _participants(cursor, scope, {r.deal: r for r in batch.participants})
    return touched


# What the history says of the deal as it is now: when it was opened again for the last time, entered its stage and lost
# its amount. Where the CRM has forgotten that, what was seen stays.
HISTORY = """
WITH d AS MATERIALIZED (
    SELECT id, external_id FROM deals_deal
    WHERE organisation_id = %(org)s AND source_id = %(source)s AND external_id = ANY(%(deals)s)
), told AS MATERIALIZED (
    SELECT DISTINCT d.id AS deal_id, i.field, i.old, i.new, i.changed_at
    FROM incoming_change i JOIN d ON d.external_id = i.deal_ref
), ended AS (
    DELETE FROM deals_fieldchange x USING d WHERE x.organisation_id = %(org)s AND x.deal_id = d.id
    AND x.field IN ('stage', 'amount', 'close_on', 'status') AND NOT EXISTS (
        SELECT FROM told t WHERE (t.deal_id, t.field, t.changed_at) = (x.deal_id, x.field, x.changed_at)
        AND (t.old, t.new) IS NOT DISTINCT FROM (x.old, x.new))
    RETURNING x.deal_id
), written AS (
    INSERT INTO deals_fieldchange (organisation_id, deal_id, field, old, new, changed_at)
    SELECT %(org)s, t.deal_id, t.field, t.old, t.new, t.changed_at FROM told t WHERE NOT EXISTS (
        SELECT FROM deals_fieldchange x WHERE x.organisation_id = %(org)s
        AND (t.deal_id, t.field, t.changed_at) = (x.deal_id, x.field, x.changed_at)
        AND (t.old, t.new) IS NOT DISTINCT FROM (x.old, x.new))
    ORDER BY t.changed_at RETURNING deal_id
), said AS (
    SELECT d.id,
        max(t.changed_at) FILTER (WHERE t.field = 'stage') AS stage_seen_at,
        max(t.changed_at) FILTER (WHERE t.field = 'status' AND t.old <> 'open' AND t.new = 'open') AS reopened_at,
        max(t.changed_at) FILTER (WHERE t.field = 'amount' AND COALESCE(t.old::numeric, 0) <> 0
                                  AND COALESCE(t.new::numeric, 0) = 0) AS amount_emptied_at,
        max(t.changed_at) FILTER (WHERE t.field = 'amount' AND t.old IS NOT NULL AND t.new IS NULL) AS amount_missing_at
    FROM d LEFT JOIN told t ON t.deal_id = d.id GROUP BY d.id
), known AS (
    UPDATE deals_deal d SET history_known = true,
        stage_seen_at = COALESCE(s.stage_seen_at, d.stage_seen_at),
        reopened_at = COALESCE(s.reopened_at, d.reopened_at),
        amount_emptied_at = CASE WHEN COALESCE(d.amount, 0) = 0
                                 THEN COALESCE(s.amount_emptied_at, d.amount_emptied_at) END,
        amount_missing_at = CASE WHEN d.amount IS NULL THEN COALESCE(s.amount_missing_at, d.amount_missing_at) END
    FROM said s WHERE d.organisation_id = %(org)s AND d.id = s.id RETURNING d.id
)
SELECT deal_id FROM ended UNION SELECT deal_id FROM written UNION SELECT id FROM known
"""


def _histories(cursor: CursorWrapper, scope: Scope, records: dict[str, HistoryRecord]) -> set[int]:
    columns = {"deal_ref": "text", "field": "text", "old": "text", "new": "text", "changed_at": "timestamptz"}
    rows = [(r.deal, c.field, c.old, c.new, c.at) for r in records.values() for c in r.changes]
    load(cursor, "incoming_change", columns, rows)
    cursor.execute(HISTORY, {**scope, "deals": list(records)})
    return {row[0] for row in cursor.fetchall()}


# Who was a participant before the first synchronisation was over has been known for as long as the deal, though the
# list is read only afterwards. `deals.summaries` asks what the deal remembers.
REMEMBERED = """
WITH d AS (
    SELECT d.id, d.external_id, d.roles, d.created_at, s.first_synced_at FROM deals_deal d
    JOIN deals_source s ON s.organisation_id = %(org)s AND s.id = d.source_id
    WHERE d.organisation_id = %(org)s AND d.source_id = %(source)s AND d.external_id = ANY(%(deals)s)
    AND NOT EXISTS (SELECT FROM deals_dealcontact x
                    WHERE x.organisation_id = %(org)s AND x.deal_id = d.id AND x.participant)
), held AS (
    SELECT DISTINCT d.id, r.role, c.person_id::text AS person, d.created_at
    FROM d JOIN incoming_takespart i ON i.deal_ref = d.external_id
         AND COALESCE(i.since, d.created_at) <= d.first_synced_at
    JOIN deals_contact c ON c.organisation_id = %(org)s AND c.source_id = %(source)s AND c.external_id = i.contact_ref
    JOIN deals_person p ON p.organisation_id = %(org)s AND p.id = c.person_id CROSS JOIN LATERAL unnest(p.roles) r(role)
    WHERE d.roles #> ARRAY[r.role, 'held', c.person_id::text] IS NULL
), role AS (
    SELECT id, role, jsonb_object_agg(person, created_at) AS held FROM held GROUP BY id, role
), whole AS (
    SELECT d.id, jsonb_object_agg(r.role, COALESCE(d.roles -> r.role, '{}') || jsonb_build_object('held',
           COALESCE(d.roles #> ARRAY[r.role, 'held'], '{}') || r.held)) AS roles
    FROM role r JOIN d ON d.id = r.id GROUP BY d.id
)
UPDATE deals_deal d SET roles = d.roles || w.roles FROM whole w WHERE d.organisation_id = %(org)s AND d.id = w.id
"""
PARTICIPANTS = """
WITH d AS MATERIALIZED (
    SELECT id, external_id FROM deals_deal
    WHERE organisation_id = %(org)s AND source_id = %(source)s AND external_id = ANY(%(deals)s)
), ended AS (
    DELETE FROM deals_dealcontact x USING d WHERE x.organisation_id = %(org)s AND x.deal_id = d.id AND x.participant
    AND NOT x."primary" AND x.roles = '{}' AND NOT EXISTS (
        SELECT FROM incoming_takespart i WHERE i.deal_ref = d.external_id AND i.contact_ref = x.contact_ref)
    RETURNING x.deal_id
), stayed AS ( -- the deal itself names this contact
    UPDATE deals_dealcontact x SET participant = false FROM d WHERE x.organisation_id = %(org)s AND x.deal_id = d.id
    AND x.participant AND (x."primary" OR x.roles <> '{}') AND NOT EXISTS (
        SELECT FROM incoming_takespart i WHERE i.deal_ref = d.external_id AND i.contact_ref = x.contact_ref)
), written AS (
    INSERT INTO deals_dealcontact AS t
        (organisation_id, deal_id, contact_id, contact_ref, "primary", participant, roles)
    SELECT %(org)s, d.id, c.id, i.contact_ref, false, true, '{}'
    FROM (SELECT DISTINCT deal_ref, contact_ref FROM incoming_takespart) i JOIN d ON d.external_id = i.deal_ref
    LEFT JOIN deals_contact c ON c.organisation_id = %(org)s AND c.source_id = %(source)s
         AND c.external_id = i.contact_ref
    ON CONFLICT (organisation_id, deal_id, contact_ref) DO UPDATE
    SET participant = true, contact_id = excluded.contact_id
    WHERE (t.participant, t.contact_id) IS DISTINCT FROM (true, excluded.contact_id) RETURNING t.deal_id
)
SELECT deal_id FROM ended UNION SELECT deal_id FROM written
"""


def _participants(cursor: CursorWrapper, scope: Scope, records: dict[str, DealParticipantsRecord]) -> set[int]:
    rows = [(r.deal, contact, since) for r in records.values() for contact, since in r.contacts]
    load(cursor, "incoming_takespart", {"deal_ref": "text", "contact_ref": "text", "since": "timestamptz"}, rows)
    given = {**scope, "deals": list(records)}
    cursor.execute(REMEMBERED, given)
    cursor.execute(PARTICIPANTS, given)
    return {row[0] for row in cursor.fetchall()}
