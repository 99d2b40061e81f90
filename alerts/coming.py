"""Which alerts are due in the next days if nothing happens: one statement for any number of deals, nothing written."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.models import Organisation
from alerts import engine
from alerts.rules import BY_KIND
from alerts.rules.base import Rule
from deals.clock import Clock
from deals.querysets import DealQuerySet

DAYS = 14
NOBODY = 0  # in place of an owner's id

# The hits up to the last of the days, without those that fire already. As they are not materialised, their evidence is
# never made. What people do not want to see on its day is left out: muted, or snoozed beyond it.
DUE = (
    engine.HITS.replace("AS MATERIALIZED ({hits})", "AS ({hits})")
    + """
, due AS MATERIALIZED (
    SELECT h.deal_id, h.fires_on, COALESCE(d.owner_id, 0) AS owner, d.amount, d.value, d.currency, d.title,
           d.company_id,
           jsonb_agg(jsonb_build_array(h.kind, h.subject) ORDER BY h.bit <> ALL(%(critical)s), h.bit, h.subject)
               AS alerts,
           count(*) FILTER (WHERE h.bit = ANY(%(critical)s)) AS critical, count(*) AS n
    FROM hit h JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id = h.deal_id
    WHERE h.fires_on >= %(from)s AND NOT EXISTS (
        SELECT FROM alerts_snooze s WHERE s.organisation_id = %(org)s AND s.deal_id = h.deal_id AND s.kind = h.kind
        AND s.subject = h.subject AND s.ended_at IS NULL AND (s.until_on IS NULL OR s.until_on > h.fires_on))
    GROUP BY h.deal_id, h.fires_on, d.id
), counted AS (
    SELECT owner, fires_on, count(DISTINCT deal_id) AS deals FROM due
    GROUP BY GROUPING SETS ((owner, fires_on), (owner))
), shown AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (
            PARTITION BY fires_on ORDER BY critical DESC, n DESC, value DESC NULLS LAST, deal_id) AS place
        FROM due WHERE %(owners)s::bigint[] IS NULL OR owner = ANY(%(owners)s::bigint[])
    ) due
    WHERE place > %(skip)s AND place <= %(skip)s + %(limit)s AND (%(on)s::date IS NULL OR fires_on = %(on)s::date)
)
SELECT 'count', jsonb_build_object('owner', n.owner, 'name', o.name, 'on', n.fires_on, 'deals', n.deals)
FROM counted n LEFT JOIN deals_colleague o ON o.organisation_id = %(org)s AND o.id = n.owner
UNION ALL
SELECT 'due', jsonb_build_object('deal', s.deal_id, 'on', s.fires_on, 'alerts', s.alerts, 'title', s.title,
    'company', c.name, 'amount', s.amount::text, 'value', s.value::text, 'currency', s.currency, 'owner', s.owner,
    'name', o.name, 'place', s.place)
FROM shown s
LEFT JOIN deals_colleague o ON o.organisation_id = %(org)s AND o.id = s.owner
LEFT JOIN deals_company c ON c.organisation_id = %(org)s AND c.id = s.company_id
"""
)


@dataclass(frozen=True)
class Due:
    """A deal and the rules that fire on it on one day: (rule, subject), critical ones first. `owner` may be NOBODY."""

    deal: int
    on: date
    alerts: tuple[tuple[Rule, str], ...]
    title: str
    company: str
    amount: Decimal | None
    value: Decimal | None  # in the organisation's currency
    currency: str
    owner: int
    owner_name: str


@dataclass(frozen=True)
class Count:
    """How many deals of an owner (or of NOBODY) have alerts that are due: on a day, or on any of the days (None)."""

    owner: int
    owner_name: str
    on: date | None
    deals: int


@dataclass(frozen=True)
class Coming:
    """`counts` are of every owner; `due` in order of the days, most at risk first, of the owners asked for."""

    counts: list[Count]
    due: list[Due]


def coming(
    organisation: Organisation,
    deals: DealQuerySet,
    clock: Clock,
    days: int = DAYS,
    *,
    owners: Collection[int] | None = None,
    on: date | None = None,
    skip: int = 0,
    limit: int = 50,
) -> Coming:
    """What fires on `deals` in the `days` local days after today, by what is known today.

    `owners`: the deals of these alone are listed (None: all). `on`: those of one day alone. Of each day `limit` deals
    are listed after the first `skip`. Two statements.
    """
    sql, params = engine.statement(organisation, deals.open().synced(), clock, DUE)
    last, first = clock.today + timedelta(days=days), clock.today + timedelta(days=1)
    params |= {"today": last, "from": first, "owners": None if owners is None else sorted(owners)}
    with connection.cursor() as cursor:
        cursor.execute(sql, {**params, "on": on, "skip": skip, "limit": limit})
        rows = [(part, row if isinstance(row, dict) else json.loads(row)) for part, row in cursor.fetchall()]
    counts = [
        Count(row["owner"], row["name"] or "", date.fromisoformat(row["on"]) if row["on"] else None, row["deals"])
        for part, row in rows
        if part == "count"
    ]
    listed = sorted((row for part, row in rows if part == "due"), key=lambda row: (row["on"], row["place"]))
    return Coming(counts, [_due(row) for row in listed])


def _due(row: Mapping[str, Any]) -> Due:
    return Due(
        deal=row["deal"],
        on=date.fromisoformat(row["on"]),
        alerts=tuple((BY_KIND[kind], subject) for kind, subject in row["alerts"]),
        title=row["title"],
        company=row["company"] or "",
        amount=None if row["amount"] is None else Decimal(row["amount"]),
        value=None if row["value"] is None else Decimal(row["value"]),
        currency=row["currency"],
        owner=row["owner"],
        owner_name=row["name"] or "",
    )
