"""Tabs, facets and sums of the deal list: one statement. Counts leave their own facet out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper
from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts.deal_query import BITS, FACETS, NONE, DealQuery
from alerts.rules import COUNT_SHIFT, RULES, Family
from deals.querysets import DealQuerySet

ZERO = Decimal(0)


@dataclass(frozen=True)
class Tab:
    label: str
    url: str
    count: int
    current: bool


@dataclass(frozen=True)
class Option:
    value: str
    label: str
    count: int
    chosen: bool
    icon: str = ""


@dataclass(frozen=True)
class Group:
    label: str
    options: list[Option]


@dataclass(frozen=True)
class Facet:
    name: str
    label: str
    icon: str
    groups: list[Group]

    @property
    def options(self) -> Iterable[Option]:
        return (option for group in self.groups for option in group.options)

    @property
    def chosen(self) -> int:
        return sum(option.chosen for option in self.options)


@dataclass(frozen=True)
class Chip:
    label: str
    remove: str
    url: str


@dataclass(frozen=True)
class Place:
    """An owner or a stage of open deals, or the lack of one: `key` is None. `group` and `position`: of a stage, its
    pipeline's name and its place there. `count`: of the deals that match the other facets."""

    key: int | None
    label: str
    group: str
    position: int
    count: int


@dataclass(frozen=True)
class Total:
    currency: str
    count: int
    count_at_risk: int
    amount: Decimal
    at_risk: Decimal


@dataclass(frozen=True)
class Counts:
    """`views`: of all open deals. `kinds`: of the deals that match the other facets. `totals`: of those found."""

    views: dict[str, int]
    kinds: dict[str, int]
    owners: list[Place]
    stages: list[Place]
    totals: list[Total]


# One pass over the index of open deals. Owners and stages are counted by pairs and alerts by combinations of kinds, so
# that what a facet leaves out is a matter of adding up. OFFSET 0: a condition is decided once a deal.
_COUNTS = """
WITH counted AS (
    SELECT GROUPING(owner_id, currency) AS part, owner_id, stage_id, currency, alert_mask > 0 AS at_risk,
           alert_mask & {kinds} AS kinds, count(*) AS every, count(*) FILTER (WHERE {but_alert}) AS but_alert,
           count(*) FILTER (WHERE {but_place}) AS but_place, count(*) FILTER (WHERE {found}) AS found,
           sum(amount) FILTER (WHERE {found}) AS amount
    FROM ({deals} OFFSET 0) deal
    GROUP BY GROUPING SETS ((owner_id, stage_id), (currency, alert_mask > 0), (alert_mask & {kinds}))
)
SELECT part, c.owner_id, o.name, o.email, c.stage_id, s.name, s.position, p.name, c.currency, c.at_risk, c.kinds,
       c.every, c.but_alert, c.but_place, c.found, c.amount
FROM counted c
LEFT JOIN deals_colleague o ON o.organisation_id = %s AND o.id = c.owner_id
LEFT JOIN deals_stage s ON s.organisation_id = %s AND s.id = c.stage_id
LEFT JOIN deals_pipeline p ON p.organisation_id = %s AND p.id = s.pipeline_id
"""


class _Row(NamedTuple):
    part: int  # 1: of an owner and a stage, 2: of a currency, 3: of a combination of kinds
    owner: int | None
    owner_name: str | None
    owner_email: str | None
    stage: int | None
    stage_name: str | None
    position: int | None
    pipeline: str | None
    currency: str
    at_risk: bool
    kinds: int
    every: int
    but_alert: int
    but_place: int
    found: int
    amount: Decimal | None


def count_deals(organisation: Organisation, deals: DealQuerySet, query: DealQuery, email: str) -> Counts:
    """Counts and sums of `deals` (the open ones) for the reader with that e-mail address."""
    facets = {name: query.facet(name, email) for name in ("view", *FACETS, "q")}
    chosen = {f"in_{name}": ExpressionWrapper(q, BooleanField()) for name, q in facets.items() if q}
    columns = ("owner_id", "stage_id", "currency", "amount", "alert_mask", *chosen)
    # Any order will do, and the model's would cost a sort.
    inner, params = deals.order_by().annotate(**chosen).values(*columns).query.sql_with_params()

    def all_but(*names: str) -> str:
        return " AND ".join(name for name in chosen if name.removeprefix("in_") not in names) or "true"

    sql = _COUNTS.format(
        deals=inner,
        kinds=(1 << COUNT_SHIFT) - 1,
        but_alert=all_but("alert"),
        but_place=all_but("owner", "stage"),
        found=all_but(),
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, *[organisation.pk] * 3])
        rows = [_Row(*row) for row in cursor.fetchall()]
    pairs, currencies, kinds = ([row for row in rows if row.part == part] for part in (1, 2, 3))
    every, clear = sum(row.every for row in kinds), sum(row.every for row in kinds if not row.kinds)
    mine = sum(row.every for row in pairs if row.owner_email == email.lower())
    owners: dict[tuple[int | None, str, str, int], int] = {}
    stages: dict[tuple[int | None, str, str, int], int] = {}
    for row in pairs:
        owner = row.owner, row.owner_name or "", "", 0
        stage = row.stage, row.stage_name or "", row.pipeline or "", row.position or 0
        owners[owner] = owners.get(owner, 0) + (row.but_place if query.allows("stage", row.stage) else 0)
        stages[stage] = stages.get(stage, 0) + (row.but_place if query.allows("owner", row.owner) else 0)
    return Counts(
        views={"open": every, "risk": every - clear, "clear": clear, "mine": mine},
        kinds={kind: sum(row.but_alert for row in kinds if row.kinds & bit) for kind, bit in BITS.items()},
        owners=[Place(*owner, count) for owner, count in owners.items()],
        stages=[Place(*stage, count) for stage, count in stages.items()],
        totals=_totals(currencies),
    )


def _totals(rows: Sequence[_Row]) -> list[Total]:
    """The largest amount first; currencies of no deal that was found are left out."""
    found: dict[str, Total] = {}
    for row in rows:
        total, amount = found.get(row.currency, Total(row.currency, 0, 0, ZERO, ZERO)), row.amount or ZERO
        risk = (row.found, amount) if row.at_risk else (0, ZERO)
        found[row.currency] = Total(
            row.currency,
            total.count + row.found,
            total.count_at_risk + risk[0],
            total.amount + amount,
            total.at_risk + risk[1],
        )
    return sorted((t for t in found.values() if t.count), key=lambda total: (-total.amount, total.currency))


def tabs_of(query: DealQuery, counts: dict[str, int]) -> list[Tab]:
    labels = {"open": _("All open deals"), "risk": _("At risk"), "clear": _("No alert"), "mine": _("My deals")}
    return [
        Tab(label, DealQuery(view=view, sort=query.sort).url, counts[view], view == query.view)
        for view, label in labels.items()
        if view != "mine" or counts["mine"] or query.view == "mine"
    ]


def alert_facet(query: DealQuery, counts: dict[str, int]) -> Facet:
    families = [
        Group(
            str(Family(family).label),
            [Option(r.kind, str(r.title), counts[r.kind], r.kind in query.alert, r.icon) for r in rules],
        )
        for family, rules in groupby(RULES, key=lambda rule: rule.family)
    ]
    return Facet("alert", _("Alert"), "bell", families)


def _options(places: Iterable[Place], chosen: tuple[str, ...], nobody: str) -> list[Option]:
    options = []
    for place in places:
        value = NONE if place.key is None else str(place.key)
        options.append(Option(value, place.label or nobody, place.count, value in chosen))
    return options


def owner_facet(query: DealQuery, places: Sequence[Place]) -> Facet:
    places = sorted(places, key=lambda place: (place.key is None, place.label.casefold()))
    options = _options(places, query.owner, _("No owner"))
    return Facet("owner", _("Owner"), "users", [Group("", options)] if options else [])


def stage_facet(query: DealQuery, places: Sequence[Place]) -> Facet:
    places = sorted(places, key=lambda place: (place.key is None, place.group, place.position, place.key))
    pipelines = [
        Group(name, _options(members, query.stage, _("No stage")))
        for name, members in groupby(places, key=attrgetter("group"))
    ]
    return Facet("stage", _("Stage"), "milestone", pipelines)
