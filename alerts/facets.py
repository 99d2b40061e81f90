"""Tabs, facets and sums of the deal list: one statement. Counts leave their own facet out."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import BooleanField, Count, ExpressionWrapper, F, Q, Value
from django.utils.translation import gettext as _

from alerts import formats
from alerts.amounts import Sum, sums_sql
from alerts.deal_query import BANDS, BITS, FACETS, NONE, PERIODS, PLACES, VIEWS, DealQuery, periods
from alerts.reader import Reader
from alerts.rules import COUNT_SHIFT, RULES, Family
from alerts.snoozing import snoozed_deals
from deals import search
from deals.querysets import DealQuerySet

COMPANIES_SHOWN = 20


@dataclass(frozen=True)
class Tab:
    """`count`: None where it is not counted. `by`: whose shared view it is."""

    label: str
    url: str
    count: int | None
    current: bool
    by: str = ""


@dataclass(frozen=True)
class Option:
    value: str
    label: str
    count: int
    chosen: bool
    icon: str = ""


@dataclass(frozen=True)
class Group:
    """`toggle`: where all its options are chosen, or none of them when `all_chosen`."""

    label: str
    options: list[Option]
    toggle: str = ""
    all_chosen: bool = False


@dataclass(frozen=True)
class Bounds:
    """Two fields, from and to, of an input's type; `chip` says them in words, empty when neither is given."""

    type: str
    start: str
    end: str
    unit: str = ""
    chip: str = ""


@dataclass(frozen=True)
class Facet:
    name: str
    label: str
    icon: str
    groups: list[Group]
    bounds: Bounds | None = None

    @property
    def options(self) -> Iterable[Option]:
        return (option for group in self.groups for option in group.options)

    @property
    def chosen(self) -> int:
        return sum(option.chosen for option in self.options) + bool(self.bounds and self.bounds.chip)


@dataclass(frozen=True)
class Chip:
    label: str
    remove: str
    url: str


@dataclass(frozen=True)
class Place:
    """An owner, pipeline or stage of open deals, or the lack of one: `key` is None. `group` and `position`: of a stage,
    its pipeline's name and its place there."""

    key: int | None
    label: str
    group: str = ""
    position: int = 0


@dataclass(frozen=True)
class Total:
    """The deals in one currency, and their amounts: of all of them, and of those at risk."""

    count: int
    count_at_risk: int
    sum: Sum
    sum_at_risk: Sum

    @property
    def currency(self) -> str:
        return self.sum.currency

    @property
    def amount(self) -> Decimal:
        return self.sum.amount

    @property
    def at_risk(self) -> Decimal:
        return self.sum_at_risk.amount


@dataclass(frozen=True)
class Counts:
    """`views`: of all open deals. `each`: of those that each further question finds. `options`: by facet and value, of
    the deals that match the other facets. `places`: by facet, what open deals have, or a question names and exists.
    `totals`: of those found."""

    views: dict[str, int]
    each: list[int]
    options: dict[str, Counter[str]]
    places: dict[str, dict[str, Place]]
    totals: list[Total]


# One pass over the index of open deals. Places are counted together, amounts with periods, and alerts by combinations
# of kinds, so that what a facet leaves out is a matter of adding up. OFFSET 0: a condition is decided once a deal.
_COUNTS = """
WITH counted AS (
    SELECT GROUPING(owner_id, currency) AS part, owner_id, stage_id, pipeline_id, currency, at_risk, band, period,
           kinds, count(*) AS every, count(*) FILTER (WHERE {but_alert}) AS but_alert,
           count(*) FILTER (WHERE {but_place}) AS but_place, count(*) FILTER (WHERE {but_amount}) AS but_amount,
           count(*) FILTER (WHERE {but_close}) AS but_close, count(*) FILTER (WHERE {found}) AS found,
           {sums}
    FROM (
        SELECT *, alert_mask > 0 AS at_risk, alert_mask & {kinds} AS kinds,
               CASE WHEN amount IS NULL THEN -1 ELSE width_bucket(value, %s::numeric[]) END AS band,
               width_bucket(close_on, %s::date[]) AS period
        FROM ({deals}) open OFFSET 0
    ) deal
    GROUP BY GROUPING SETS ((owner_id, stage_id, pipeline_id), (currency, at_risk, band, period), (kinds))
)
SELECT part, c.owner_id, o.name, c.stage_id, s.name, s.position, p.name, c.pipeline_id, own.name, own.position,
       c.currency, c.at_risk, c.band, c.period, c.kinds, (SELECT count(*) FROM ({snoozed}) snoozed) AS snoozed,
       ({each}) AS each, (
           SELECT jsonb_agg(jsonb_build_array(facet, id, name)) FROM (
               SELECT 'owner' AS facet, id, name FROM deals_colleague WHERE organisation_id = %s AND id = ANY(%s)
               UNION ALL SELECT 'pipeline', id, name FROM deals_pipeline
               WHERE organisation_id = %s AND id = ANY(%s) AND NOT deleted
               UNION ALL SELECT 'stage', id, name FROM deals_stage
               WHERE organisation_id = %s AND id = ANY(%s) AND NOT deleted
               UNION ALL SELECT 'company', id, name FROM deals_company
               WHERE organisation_id = %s AND id = ANY(%s) AND NOT deleted
           ) named
       ) AS named,
       c.every, c.but_alert, c.but_place, c.but_amount, c.but_close, c.found,
       c.amount, c.value, c.unvalued, c.without
FROM counted c
LEFT JOIN deals_colleague o ON o.organisation_id = %s AND o.id = c.owner_id
LEFT JOIN deals_stage s ON s.organisation_id = %s AND s.id = c.stage_id
LEFT JOIN deals_pipeline p ON p.organisation_id = %s AND p.id = s.pipeline_id
LEFT JOIN deals_pipeline own ON own.organisation_id = %s AND own.id = c.pipeline_id
"""
NO_AMOUNT = -1  # as a band
NAMED = ("owner", "pipeline", "stage", "company")  # facets whose values are ids, in the statement's order


class _Row(NamedTuple):
    part: int  # 1: of a place, 2: of a currency, a band of amounts and a period, 3: of a combination of kinds
    owner: int | None
    owner_name: str | None
    stage: int | None
    stage_name: str | None
    stage_position: int | None
    stage_pipeline: str | None
    pipeline: int | None
    pipeline_name: str | None
    pipeline_position: int | None
    currency: str
    at_risk: bool
    band: int | None
    period: int | None
    kinds: int
    snoozed: int
    each: list[int] | None
    named: str | None  # JSON: [[facet, id, name]]
    every: int
    but_alert: int
    but_place: int
    but_amount: int
    but_close: int
    found: int
    amount: Decimal | None
    value: Decimal | None
    unvalued: Decimal | None
    without: int


@dataclass(frozen=True)
class _Scale:
    """Bounds in ascending order, and which buckets between them (width_bucket) each span is made of."""

    bounds: list[Any]
    spans: dict[str, range] = field(default_factory=dict)

    @classmethod
    def of(cls, spans: dict[str, tuple[Any, Any]]) -> "_Scale":
        bounds = sorted({bound for span in spans.values() for bound in span if bound is not None})
        buckets = {}
        for name, (start, end) in spans.items():
            first = 0 if start is None else bounds.index(start) + 1
            buckets[name] = range(first, len(bounds) + 1 if end is None else bounds.index(end) + 1)
        return cls(bounds, buckets)


def count_deals(deals: DealQuerySet, query: DealQuery, reader: Reader, further: Sequence[DealQuery] = ()) -> Counts:
    """Counts and sums of `deals` (the open ones) for a question, and how many each of the further ones finds."""
    facets = {name: query.facet(name, reader) for name in ("view", *FACETS, "q")}
    chosen = {f"in_{name}": ExpressionWrapper(q, BooleanField()) for name, q in facets.items() if q}
    columns = ("owner_id", "stage_id", "pipeline_id", "currency", "amount", "value", "close_on", "alert_mask", *chosen)
    # Any order will do, and the model's would cost a sort.
    inner, params = deals.order_by().annotate(**chosen).values(*columns).query.sql_with_params()
    snoozed = deals.order_by().filter(pk__in=snoozed_deals(reader.organisation)).values("pk")
    snoozed_sql, snoozed_params = snoozed.query.sql_with_params()
    each_sql, each_params = _count_each(deals, [one.matching(reader) for one in further])
    asked = [query, *further]
    named = [
        sorted({int(value) for each in asked for value in getattr(each, facet) if value != NONE}) for facet in NAMED
    ]
    bands, spans = _Scale.of(dict(BANDS)), _Scale.of(dict(periods(reader.today)))

    def all_but(*names: str) -> str:
        return " AND ".join(name for name in chosen if name.removeprefix("in_") not in names) or "true"

    sql = _COUNTS.format(
        deals=inner,
        snoozed=snoozed_sql,
        each=each_sql,
        kinds=(1 << COUNT_SHIFT) - 1,
        but_alert=all_but("alert"),
        but_place=all_but(*PLACES),
        but_amount=all_but("amount"),
        but_close=all_but("close"),
        found=all_but(),
        sums=sums_sql(all_but()),
    )
    with connection.cursor() as cursor:
        org = reader.organisation.pk
        names = [value for ids in named for value in (org, ids)]
        extras = [*snoozed_params, *each_params, *names]
        cursor.execute(sql, [bands.bounds, spans.bounds, *params, *extras, *[org] * 4])
        rows = [_Row(*row) for row in cursor.fetchall()]
    places, amounts, kinds = ([row for row in rows if row.part == part] for part in (1, 2, 3))
    every, clear = sum(row.every for row in kinds), sum(row.every for row in kinds if not row.kinds)
    return Counts(
        views={
            "open": every,
            "risk": every - clear,
            "clear": clear,
            "mine": sum(row.every for row in places if row.owner in reader.mine),
            "snoozed": rows[0].snoozed if rows else 0,
        },
        each=(rows[0].each or []) if rows else [0] * len(further),
        options={
            "alert": _by_kind(kinds, query),
            "amount": _by_span([(row.band, row.but_amount) for row in amounts], bands, NO_AMOUNT),
            "close": _by_span([(row.period, row.but_close) for row in amounts], spans, None),
            **_by_place(places, query, reader),
        },
        places=_places(places, json.loads((rows and rows[0].named) or "[]")),
        totals=_totals(amounts),
    )


def _count_each(deals: DealQuerySet, conditions: Sequence[Q]) -> tuple[str, tuple[Any, ...]]:
    """A statement for how many deals meet each condition, as one array."""
    if not conditions:
        return "SELECT NULL::bigint[]", ()
    columns = {f"n{n}": ExpressionWrapper(q or Q(Value(True)), BooleanField()) for n, q in enumerate(conditions)}
    sql, params = deals.order_by().annotate(**columns).values(*columns).query.sql_with_params()
    counts = ", ".join(f"count(*) FILTER (WHERE {name})" for name in columns)
    return f"SELECT ARRAY[{counts}] FROM ({sql}) question", params


def _key(pk: int | None) -> str:
    return NONE if pk is None else str(pk)


def _by_kind(rows: Sequence[_Row], query: DealQuery) -> Counter[str]:
    """Of deals that must have all of the chosen kinds, those that would be left with one more."""
    must = sum(BITS[kind] for kind in query.alert) if query.match == "all" else 0
    found: Counter[str] = Counter()
    for kind, bit in BITS.items():
        found[kind] = sum(row.but_alert for row in rows if row.kinds & bit and row.kinds & must == must)
    return found


def _by_span(rows: Iterable[tuple[int | None, int]], scale: _Scale, none: int | None) -> Counter[str]:
    buckets: Counter[int | None] = Counter()
    for bucket, count in rows:
        buckets[bucket] += count
    found = Counter({name: sum(buckets[n] for n in span) for name, span in scale.spans.items()})
    found[NONE] = buckets[none]
    return found


def _by_place(rows: Iterable[_Row], query: DealQuery, reader: Reader) -> dict[str, Counter[str]]:
    """Each facet of the place counts the deals that the others of it let pass."""
    found: dict[str, Counter[str]] = {name: Counter() for name in PLACES}
    teams: dict[int | None, tuple[str, ...]] = {}
    for row in rows:
        if row.owner not in teams:
            mine = tuple(str(team.pk) for team in reader.teams if row.owner in team.owners)
            teams[row.owner] = mine or (NONE,)
        has = {
            "owner": (_key(row.owner),),
            "team": teams[row.owner],
            "pipeline": (_key(row.pipeline),),
            "stage": (_key(row.stage),),
        }
        passes = {name: not (chosen := getattr(query, name)) or not set(has[name]).isdisjoint(chosen) for name in has}
        for name, values in has.items():
            if all(passed for other, passed in passes.items() if other != name):
                for value in values:
                    found[name][value] += row.but_place
    return found


def _places(rows: Iterable[_Row], named: Iterable[tuple[str, int, str]]) -> dict[str, dict[str, Place]]:
    found: dict[str, dict[str, Place]] = {facet: {} for facet in NAMED}
    found["company"][NONE] = Place(None, _("No company"))
    for facet, pk, name in named:
        found[facet][str(pk)] = Place(pk, name)
    for row in rows:
        found["owner"][_key(row.owner)] = Place(row.owner, row.owner_name or "")
        found["pipeline"][_key(row.pipeline)] = Place(
            row.pipeline, row.pipeline_name or "", position=row.pipeline_position or 0
        )
        found["stage"][_key(row.stage)] = Place(
            row.stage, row.stage_name or "", row.stage_pipeline or "", row.stage_position or 0
        )
    return found


def _totals(rows: Sequence[_Row]) -> list[Total]:
    """The largest amount first; currencies of no deal that was found are left out."""
    found: dict[str, Total] = {}
    for row in rows:
        total = found.get(row.currency, Total(0, 0, Sum(row.currency), Sum(row.currency)))
        amounts = (row.amount, row.value, row.unvalued, row.without)
        found[row.currency] = Total(
            total.count + row.found,
            total.count_at_risk + (row.found if row.at_risk else 0),
            total.sum.plus(*amounts),
            total.sum_at_risk.plus(*amounts) if row.at_risk else total.sum_at_risk,
        )
    return sorted((t for t in found.values() if t.count), key=lambda total: (-total.amount, total.currency))


def tabs_of(query: DealQuery, counts: dict[str, int]) -> list[Tab]:
    labels = {
        "open": _("All open deals"),
        "risk": _("At risk"),
        "clear": _("No alert"),
        "mine": _("My deals"),
        "snoozed": _("Snoozed"),
    }
    return [
        Tab(
            labels[view],
            DealQuery(view=view, sort=query.sort).url,
            counts[view],
            view == query.view and query.saved is None,
        )
        for view in VIEWS
        if view not in ("mine", "snoozed") or counts[view] or query.view == view
    ]


def facets_of(query: DealQuery, counts: Counts, reader: Reader, companies: Iterable[Option]) -> list[Facet]:
    """In the order of the bar. A facet that offers no choice, say of one pipeline, is left out unless it is in use."""
    pipelines = _place_options("pipeline", _("No pipeline"), query, counts)
    facets = [
        _alert_facet(query, counts.options["alert"]),
        Facet("owner", _("Owner"), "user-round", _one_group(_place_options("owner", _("No owner"), query, counts))),
        _team_facet(query, counts.options["team"], reader) if reader.teams or query.team else None,
        Facet("pipeline", _("Pipeline"), "layout-list", _one_group(pipelines))
        if len(pipelines) > 1 or query.pipeline
        else None,
        _stage_facet(query, counts),
        _amount_facet(query, counts.options["amount"], reader),
        _close_facet(query, counts.options["close"], reader),
        Facet("company", _("Company"), "building-2", [Group("", list(companies))]),
    ]
    return [facet for facet in facets if facet]


def _one_group(options: list[Option]) -> list[Group]:
    return [Group("", options)] if options else []


def _alert_facet(query: DealQuery, counts: Counter[str]) -> Facet:
    families = []
    for family, rules in groupby(RULES, key=lambda rule: rule.family):
        options = [Option(r.kind, str(r.title), counts[r.kind], r.kind in query.alert, r.icon) for r in rules]
        kinds = {option.value for option in options}
        every = kinds <= set(query.alert)
        alert = set(query.alert) - kinds if every else set(query.alert) | kinds
        toggle = query.with_(alert=tuple(sorted(alert))).url if len(kinds) > 1 else ""
        families.append(Group(str(Family(family).label), options, toggle, every))
    return Facet("alert", _("Alert"), "bell", families)


def _place_options(name: str, nobody: str, query: DealQuery, counts: Counts) -> list[Option]:
    """The lack of one last."""
    places = sorted(
        counts.places[name].items(),
        key=lambda item: (item[1].key is None, item[1].group, item[1].position, item[1].label.casefold(), item[0]),
    )
    chosen = getattr(query, name)
    return [
        Option(value, place.label or nobody, counts.options[name][value], value in chosen) for value, place in places
    ]


def _team_facet(query: DealQuery, counts: Counter[str], reader: Reader) -> Facet:
    labels = {str(team.pk): team.name for team in reader.teams} | {NONE: _("No team")}
    options = [Option(value, label, counts[value], value in query.team) for value, label in labels.items()]
    return Facet("team", _("Team"), "users", [Group("", options)])


def _stage_facet(query: DealQuery, counts: Counts) -> Facet:
    options = _place_options("stage", _("No stage"), query, counts)
    places = counts.places["stage"]
    groups = groupby(options, key=lambda option: places[option.value].group)
    return Facet("stage", _("Stage"), "milestone", [Group(name, list(members)) for name, members in groups])


def _amount_facet(query: DealQuery, counts: Counter[str], reader: Reader) -> Facet:
    currency = reader.organisation.currency

    def label(start: Decimal | int | None, end: Decimal | int | None) -> str:
        texts = {
            name: formats.money(bound, currency) for name, bound in (("from", start), ("to", end)) if bound is not None
        }
        if start is None:
            return _("Up to %(to)s") % texts if texts else ""
        return _("%(from)s to %(to)s") % texts if end is not None else _("From %(from)s") % texts

    labels = {band: label(*bounds) for band, bounds in BANDS.items()} | {NONE: _("No amount")}
    options = [Option(value, text, counts[value], value in query.amount) for value, text in labels.items()]
    start, end = (
        f"{bound.normalize():f}" if bound is not None else "" for bound in (query.amount_from, query.amount_to)
    )
    bounds = Bounds("number", start, end, currency, label(query.amount_from, query.amount_to))
    return Facet("amount", _("Amount"), "banknote", [Group("", options)], bounds)


def _close_facet(query: DealQuery, counts: Counter[str], reader: Reader) -> Facet:
    labels = {
        "overdue": _("Overdue"),
        "this_month": _("This month"),
        "next_month": _("Next month"),
        "this_quarter": _("This quarter"),
        "later": _("Later"),
        NONE: _("No close date"),
    }
    options = [Option(value, labels[value], counts[value], value in query.close) for value in (*PERIODS, NONE)]
    ends = [("from", query.close_from), ("to", query.close_to)]
    texts = {name: formats.day(day, reader.today) for name, day in ends if day}
    chip = ""
    if texts:
        chip = (
            _("Closes %(from)s to %(to)s") if len(texts) == 2 else _("Closes from %(from)s") if "from" in texts else ""
        )
        chip = (chip or _("Closes by %(to)s")) % texts
    start, end = (day.isoformat() if day else "" for _name, day in ends)
    return Facet("close", _("Close date"), "calendar-clock", [Group("", options)], Bounds("date", start, end, "", chip))


def companies_of(deals: DealQuerySet, query: DealQuery, reader: Reader, find: str) -> list[Option]:
    """The companies with the most deals that match the other facets, of those whose name has what `find` says. One
    statement."""
    found = deals.order_by().filter(query.matching(reader, without="company")).exclude(company=None)
    words = search.plain(find).split()[:8]
    for word in words:  # of the deal's, the company's and the contacts' names
        found = found.filter(search__contains=word)
    rows = (
        found.values("company").annotate(n=Count("*"), name=F("company__name")).order_by("-n", "name", "company")
    ).values_list("company", "name", "n")
    options = []
    for pk, name, count in rows.iterator() if words else rows[:COMPANIES_SHOWN]:
        plain = search.plain(name)
        if all(word in plain for word in words):
            options.append(Option(str(pk), name, count, str(pk) in query.company))
            if len(options) == COMPANIES_SHOWN:
                break
    return options
