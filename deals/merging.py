"""When a CRM makes one object of several, what is known of the losers becomes the survivor's.

The CRM moves its own associations, but need not say that the activities behind them have changed. What only Vigie knows
(alerts, snoozes, notes) is moved by those who keep it (`deals.signals`). Doing it again moves nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.utils import CursorWrapper

from deals import removal
from deals.clock import Clock
from deals.copy import load
from deals.models import Source
from deals.records import MergeRecord
from deals.signals import deals_merged

Scope = dict[str, Any]


@dataclass
class Moved:
    """Ids of the rows that have changed."""

    companies: set[int] = field(default_factory=set)
    contacts: set[int] = field(default_factory=set)
    deals: set[int] = field(default_factory=set)
    activities: set[int] = field(default_factory=set)


def move(cursor: CursorWrapper, source: Source, merges: Sequence[MergeRecord], clock: Clock) -> Moved:
    """Give the survivors what the losers had, and mark the losers as deleted.

    A merge whose survivor is not here is left out: the CRM tells it again with the survivor.
    """
    moved = Moved()
    scope = {"org": source.organisation_id, "source": source.pk}
    steps: dict[str, Callable[[CursorWrapper, Scope, Moved], None]] = {
        "companies": _companies,
        "contacts": _contacts,
        "deals": _deals,
    }
    for kind, step in steps.items():
        told = [(loser, m.survivor) for m in merges if m.kind == kind for loser in m.losers if loser != m.survivor]
        if told and (pairs := _pairs(cursor, scope, removal.TABLES[kind], dict(told))):  # type: ignore[index]
            step(cursor, scope, moved)
            losers = removal.mark(cursor, source, kind, [ref for _, _, ref in pairs])  # type: ignore[arg-type]
            getattr(moved, kind).update(losers, (survivor for loser, survivor, _ in pairs if loser in losers))
            if kind == "deals":
                ids = [(loser, survivor) for loser, survivor, _ in pairs]
                for _, survivors in deals_merged.send(
                    None, organisation=source.organisation_id, pairs=ids, now=clock.now
                ):
                    moved.deals.update(survivors)  # type: ignore[arg-type]
    return moved


def _pairs(cursor: CursorWrapper, scope: Scope, table: str, survivors: dict[str, str]) -> list[tuple[int, int, str]]:
    """Loser, survivor (ids) and the loser's id at the CRM of each merge both of which are here; kept in `merged`."""
    load(cursor, "told_merge", {"loser": "text", "survivor": "text"}, survivors.items())
    cursor.execute(
        f"SELECT l.id, s.id, l.external_id, s.external_id FROM told_merge m "
        f"JOIN {table} l ON l.organisation_id = %(org)s AND l.source_id = %(source)s AND l.external_id = m.loser "
        f"JOIN {table} s ON s.organisation_id = %(org)s AND s.source_id = %(source)s AND s.external_id = m.survivor "
        "AND NOT s.deleted ORDER BY l.id",
        scope,
    )
    found = cursor.fetchall()
    columns = {"loser_id": "bigint", "survivor_id": "bigint", "loser": "text", "survivor": "text"}
    load(cursor, "merged", columns, found)
    return [row[:3] for row in found]


def _changed(cursor: CursorWrapper, scope: Scope, *statements: str) -> set[int]:
    """What the statements return, all of them."""
    ids: set[int] = set()
    for statement in statements:
        cursor.execute(statement, scope)
        ids.update(row[0] for row in cursor.fetchall())
    return ids


def _companies(cursor: CursorWrapper, scope: Scope, moved: Moved) -> None:
    statement = """
        UPDATE {table} t SET company_id = m.survivor_id, company_ref = m.survivor FROM merged m
        WHERE t.organisation_id = %(org)s AND t.company_id = m.loser_id RETURNING t.id
        """
    moved.contacts |= _changed(cursor, scope, statement.format(table="deals_contact"))
    moved.deals |= _changed(cursor, scope, statement.format(table="deals_deal"))


def _contacts(cursor: CursorWrapper, scope: Scope, moved: Moved) -> None:
    moved.activities |= _changed(
        cursor,
        scope,
        """
        UPDATE deals_participant p SET contact_ref = m.survivor FROM merged m, deals_activity a
        WHERE p.organisation_id = %(org)s AND p.contact_ref = m.loser AND p.contact_ref <> ''
        AND a.organisation_id = %(org)s AND a.id = p.activity_id AND a.source_id = %(source)s RETURNING p.activity_id
        """,
    )
    _inherit(
        cursor,
        scope,
        """
        SELECT DISTINCT dc.deal_id AS before_id, dc.deal_id AS after_id,
               l.person_id::text AS before, s.person_id::text AS after
        FROM merged m JOIN deals_contact l ON l.organisation_id = %(org)s AND l.id = m.loser_id
        JOIN deals_contact s ON s.organisation_id = %(org)s AND s.id = m.survivor_id AND s.person_id <> l.person_id
        JOIN deals_dealcontact dc ON dc.organisation_id = %(org)s AND dc.contact_id = l.id
        """,
    )
    moved.deals |= _changed(
        cursor,
        scope,
        # On one row of the deal meet all that become one contact.
        """
        WITH whole AS (
            SELECT dc.id, dc.deal_id, dc."primary", dc.roles, COALESCE(m.survivor_id, dc.contact_id) AS contact_id,
                   COALESCE(m.survivor, dc.contact_ref) AS contact_ref, m.loser_id IS NULL AS own
            FROM deals_dealcontact dc LEFT JOIN merged m ON m.loser_id = dc.contact_id
            WHERE dc.organisation_id = %(org)s
            AND dc.contact_id IN (SELECT loser_id FROM merged UNION SELECT survivor_id FROM merged)
        ), one AS (
            SELECT deal_id, contact_id, contact_ref, (array_agg(id ORDER BY own DESC, id))[1] AS id,
                   bool_or("primary") AS "primary",
                   ARRAY(SELECT DISTINCT r FROM whole o CROSS JOIN LATERAL unnest(o.roles) r
                         WHERE o.deal_id = w.deal_id AND o.contact_id = w.contact_id ORDER BY r) AS roles
            FROM whole w GROUP BY deal_id, contact_id, contact_ref HAVING NOT bool_and(own)
        ), gone AS (
            DELETE FROM deals_dealcontact dc USING whole w JOIN one o USING (deal_id, contact_id)
            WHERE dc.organisation_id = %(org)s AND dc.id = w.id AND w.id <> o.id
        )
        UPDATE deals_dealcontact dc SET contact_id = o.contact_id, contact_ref = o.contact_ref,
            "primary" = o."primary", roles = o.roles
        FROM one o WHERE dc.organisation_id = %(org)s AND dc.id = o.id RETURNING dc.deal_id
        """,
    )


def _deals(cursor: CursorWrapper, scope: Scope, moved: Moved) -> None:
    _inherit(
        cursor,
        scope,
        """
        SELECT m.loser_id AS before_id, m.survivor_id AS after_id, p AS before, p AS after FROM merged m
        JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id = m.loser_id
        CROSS JOIN LATERAL (SELECT DISTINCT jsonb_object_keys(r.value -> 'held') AS p FROM jsonb_each(d.roles) r) h
        """,
    )
    moved.deals |= _changed(
        cursor,
        scope,
        """
        UPDATE deals_dealactivity t SET deal_id = x.survivor_id, deal_ref = x.survivor FROM (
            SELECT DISTINCT ON (l.activity_id, m.survivor_id) l.id, m.survivor_id, m.survivor
            FROM merged m JOIN deals_dealactivity l ON l.organisation_id = %(org)s AND l.deal_id = m.loser_id
            WHERE NOT EXISTS (SELECT FROM deals_dealactivity o WHERE o.organisation_id = %(org)s
                              AND o.activity_id = l.activity_id AND o.deal_ref = m.survivor)
            ORDER BY l.activity_id, m.survivor_id, l.id
        ) x WHERE t.organisation_id = %(org)s AND t.id = x.id RETURNING t.deal_id
        """,
        """
        DELETE FROM deals_dealactivity t USING merged m
        WHERE t.organisation_id = %(org)s AND t.deal_id = m.loser_id RETURNING m.survivor_id
        """,
    )


def _inherit(cursor: CursorWrapper, scope: Scope, heirs: str) -> None:
    """Who takes over a role holds it since the earlier of both: `deals.summaries` asks what the deal remembers.

    `heirs`: a SELECT of before_id and after_id (deals), before and after (persons as text).
    """
    cursor.execute(
        f"""
        WITH heir AS ({heirs}), since AS (
            SELECT h.after_id, r.key AS role, h.after, min(p.value::timestamptz) AS at
            FROM heir h JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id IN (h.before_id, h.after_id)
            CROSS JOIN LATERAL jsonb_each(d.roles) r CROSS JOIN LATERAL jsonb_each_text(r.value -> 'held') p
            WHERE p.key IN (h.before, h.after) GROUP BY h.after_id, r.key, h.after
        ), held AS (
            SELECT after_id, role, jsonb_object_agg(after, at) AS held FROM since GROUP BY after_id, role
        ), roles AS (
            SELECT h.after_id, jsonb_object_agg(h.role, COALESCE(d.roles -> h.role, '{{}}') || jsonb_build_object(
                   'held', COALESCE(d.roles #> ARRAY[h.role, 'held'], '{{}}') || h.held)) AS roles
            FROM held h JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id = h.after_id GROUP BY h.after_id
        )
        UPDATE deals_deal d SET roles = d.roles || x.roles FROM roles x
        WHERE d.organisation_id = %(org)s AND d.id = x.after_id
        """,
        scope,
    )
