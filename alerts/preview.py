"""What a draft of the settings would do to the deal list: one statement, nothing written.

Before is what the list shows, after what the draft's rules say today; neither counts what is snoozed. Deals are counted
by their masks of alert kinds (deals.Deal.alert_mask) before and after: few combinations, however many deals.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.models import Organisation
from alerts import engine
from alerts.amounts import Sum, sums_sql
from alerts.rules import BY_KIND, RULES
from alerts.settings import Draft
from deals.clock import Clock

AT_RISK = ""  # in place of a kind: at least one alert
ALL_KINDS = sum(1 << rule.bit for rule in RULES)
CHANGES = {
    "now": "was <> 0",
    "after": "will_be <> 0",
    "flagged": "will_be <> 0 AND was = 0",
    "cleared": "will_be = 0 AND was <> 0",
}

# Of the hits only the bits are read: as they are not materialised, their evidence is never made.
MASKS = (
    engine.HITS.replace("AS MATERIALIZED ({hits})", "AS ({hits})")
    + """
, after AS MATERIALIZED (
    SELECT deal_id, bit_or(1 << bit) AS mask FROM hit h WHERE NOT EXISTS (
        SELECT FROM alerts_snooze s WHERE s.organisation_id = %(org)s AND s.ended_at IS NULL
        AND s.deal_id = h.deal_id AND s.kind = h.kind AND s.subject = h.subject)
    GROUP BY deal_id)
, masks(id, amount, value, currency, was, will_be) AS (
    SELECT d.id, d.amount, d.value, d.currency, d.alert_mask & %(kinds)s, COALESCE(a.mask, 0) & %(kinds)s
    FROM verdict v JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id = v.id
        AND d.status = 'open' AND NOT d.archived AND NOT d.deleted  -- as in the index that covers the rest
    LEFT JOIN after a ON a.deal_id = v.id
)
"""
)
COUNTS = f"{MASKS} SELECT currency, was, will_be, count(*), {sums_sql()} FROM masks GROUP BY 1, 2, 3"
DEALS = (
    MASKS
    + """
, chosen AS MATERIALIZED (SELECT id, value FROM masks WHERE {change})
SELECT (SELECT count(*) FROM chosen),
       ARRAY(SELECT id FROM chosen ORDER BY value DESC NULLS LAST, id LIMIT %(limit)s OFFSET %(offset)s)
"""
)


@dataclass
class Flagged:
    """Deals, and their amounts by currency."""

    deals: int = 0
    sums: dict[str, Sum] = field(default_factory=dict)

    def add(self, deals: int, currency: str, *sums: Any) -> None:
        """`sums`: as `Sum.plus` takes them."""
        self.deals += deals
        self.sums[currency] = self.sums.get(currency, Sum(currency)).plus(*sums)

    @property
    def amounts(self) -> dict[str, Decimal]:
        return {currency: each.amount for currency, each in self.sums.items()}


Effect = dict[str, Flagged]  # by CHANGES


def preview(organisation: Organisation, draft: Draft, clock: Clock) -> dict[str, Effect]:
    """By kind, and for AT_RISK: the deals flagged now, after, newly flagged and cleared. `draft` must be clean."""
    effects = {kind: {change: Flagged() for change in CHANGES} for kind in (AT_RISK, *BY_KIND)}
    for currency, was, will_be, deals, *sums in _rows(organisation, draft, clock, COUNTS, kinds=ALL_KINDS):
        for kind, effect in effects.items():
            before, after = bool(was & _bits(kind)), bool(will_be & _bits(kind))
            holds = {"now": before, "after": after, "flagged": after and not before, "cleared": before and not after}
            for change in CHANGES:
                if holds[change]:
                    effect[change].add(deals, currency, *sums)
    return effects


def preview_deals(
    organisation: Organisation, draft: Draft, clock: Clock, kind: str, change: str, rows: slice
) -> tuple[int, list[int]]:
    """How many deals are behind a number of `preview`, and the ids of those in `rows`, largest value first."""
    template = DEALS.replace("{change}", CHANGES[change])
    asked = {"kinds": _bits(kind), "limit": rows.stop - rows.start, "offset": rows.start}
    [(count, ids)] = _rows(organisation, draft, clock, template, **asked)
    return count, ids


def _bits(kind: str) -> int:
    return 1 << BY_KIND[kind].bit if kind else ALL_KINDS


def _rows(
    organisation: Organisation, draft: Draft, clock: Clock, template: str, **params: Any
) -> list[tuple[Any, ...]]:
    """Of the deals that a run after saving would judge."""
    sql, given = engine.statement(organisation, organisation.deals.open().synced(), clock, template, draft=draft)
    with connection.cursor() as cursor:
        cursor.execute(sql, given | params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
