"""Tabs, sums and facets of the deal list. Counts leave their own facet out.

Two statements: what every page shows, and the counts beside options, which are asked for when a menu opens.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Count, ExpressionWrapper, F, Q, QuerySet, Value
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Organisation, User
from alerts import formats
from alerts.amounts import Sum, sums_sql
from alerts.deal_query import BANDS, BITS, NONE, PLACES, VIEWS, DealQuery, periods
from alerts.reader import Reader
from alerts.rules import BY_KIND, COUNT_SHIFT, RULES, Family
from alerts.snoozing import snoozed_deals
from deals import search
from deals.models import Deal
from deals.querysets import DealQuerySet

COMPANIES_SHOWN = 20


@dataclass(frozen=True)
class Tab:
    """`count`: None where it is not counted. `saved`: the saved view (its id), if it is one; `by`: whose, if shared."""

    label: str
    url: str
    count: int | None
    current: bool
    by: str = ""
    saved: int | None = None


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
    """Two fields, from and to, of an input's type."""

    type: str
    start: str
    end: str
    unit: str = ""


@dataclass(frozen=True)
class Facet:
    """`groups`: None until they are asked for. `chosen`: how many choices are made; `fields`: those, as a form's."""

    name: str
    label: str
    icon: str
    groups: list[Group] | None
    bounds: Bounds | None = None
    chosen: int = 0
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def options(self) -> Iterable[Option]:
        return (option for group in self.groups or () for option in group.options)


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
class Overview:
    """`views`: of all open deals. `totals`: of those found. `names`: by facet and id, of what the questions name and
    exists. `pipelines`: whether there is more than one."""

    views: dict[str, int]
    totals: list[Total]
    names: dict[str, dict[str, str]]
    pipelines: bool


@dataclass(frozen=True)
class Counts:
    """`each`: of the deals that each further question finds. `options`: by facet and value, of the deals that match the
    other facets. `places`: by facet, what open deals have."""

    each: list[int] = field(default_factory=list)
    options: dict[str, Counter[str]] = field(default_factory=dict)
    places: dict[str, dict[str, Place]] = field(default_factory=dict)


# One pass over the index of open deals. OFFSET 0: a condition is decided once a deal.
_OVERVIEW = """
SELECT currency, at_risk, count(*), count(*) FILTER (WHERE owner_id = ANY(%s)), count(*) FILTER (WHERE {found}), {sums},
       (SELECT count(*) FROM ({snoozed}) snoozed), (SELECT count(*) > 1 FROM ({pipelines}) pipeline), (
           SELECT jsonb_agg(jsonb_build_array(facet, id, name)) FROM (
               SELECT 'owner' AS facet, id, name FROM deals_colleague WHERE organisation_id = %s AND id = ANY(%s)
               UNION ALL SELECT 'pipeline', id, name FROM deals_pipeline x
               WHERE organisation_id = %s AND id = ANY(%s) AND (NOT deleted OR EXISTS (
                   SELECT 1 FROM ({deals}) open WHERE pipeline_id = x.id))
               UNION ALL SELECT 'stage', id, name FROM deals_stage x
               WHERE organisation_id = %s AND id = ANY(%s) AND (NOT deleted OR EXISTS (
                   SELECT 1 FROM ({deals}) open WHERE stage_id = x.id))
               UNION ALL SELECT 'company', id, name FROM deals_company
               WHERE organisation_id = %s AND id = ANY(%s) AND NOT deleted
           ) named
       )
FROM (SELECT *, alert_mask > 0 AS at_risk FROM ({asked}) open {barrier}) deal
GROUP BY currency, at_risk
"""
NAMED = ("owner", "pipeline", "stage", "company")  # facets whose values are ids, in the statement's order

# Places are counted together, so that what each of their facets leaves out is a matter of adding up; and every one that
# an open deal has is on offer, if only with a zero.
_PLACES = """
SELECT c.owner_id AS owner, o.name AS owner_name, c.stage_id AS stage, s.name AS stage_name,
       s.position AS stage_position, p.name AS stage_pipeline, c.pipeline_id AS pipeline, own.name AS pipeline_name,
       own.position AS pipeline_position, c.count
FROM (
    SELECT owner_id, stage_id, pipeline_id, count(*) FILTER (WHERE passes) AS count FROM ({deals}) open
    GROUP BY owner_id, stage_id, pipeline_id
) c
LEFT JOIN deals_colleague o ON o.organisation_id = %s AND o.id = c.owner_id
LEFT JOIN deals_stage s ON s.organisation_id = %s AND s.id = c.stage_id
LEFT JOIN deals_pipeline p ON p.organisation_id = %s AND p.id = s.pipeline_id
LEFT JOIN deals_pipeline own ON own.organisation_id = %s AND own.id = c.pipeline_id
"""
_KINDS = "SELECT alert_mask & %s AS kinds, count(*) FROM ({deals}) open GROUP BY 1"
_AMOUNTS = """
SELECT CASE WHEN amount IS NULL THEN -1 ELSE width_bucket(value, %s::numeric[]) END AS span, count(*)
FROM ({deals}) open GROUP BY 1
"""
NO_AMOUNT = -1  # as a span
_CLOSES = "SELECT width_bucket(close_on, %s::date[]) AS span, count(*) FROM ({deals}) open GROUP BY 1"


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


@lru_cache(maxsize=256)  # to build them takes as long as all that depends on the question
def _same_sql(org: int, pipelines: tuple[int, ...] | None) -> list[tuple[str, tuple[Any, ...]]]:
    """The open deals (by place) of an organisation, the snoozed ones of them and its watched pipelines, in SQL."""
    of_all = Reader(Organisation(pk=org), User(), date.min, pipelines=pipelines)
    deals = of_all.open_deals.order_by()
    snoozed = deals.filter(pk__in=snoozed_deals(of_all.organisation))
    parts = deals.values("stage_id", "pipeline_id"), snoozed.values("pk"), of_all.watched_pipelines.values("pk")
    return [part.query.sql_with_params() for part in parts]


def overview(query: DealQuery, reader: Reader, further: Sequence[DealQuery] = ()) -> Overview:
    """Sums of the open deals for a question, and what it and the further ones name. One statement."""
    org = reader.organisation.pk
    matching = query.matching(reader)
    columns = ["currency", "amount", "value", "alert_mask", "owner_id"]
    asked = reader.open_deals.order_by()
    if matching:
        columns.append("found")
        asked = asked.annotate(found=ExpressionWrapper(matching, BooleanField()))
    asked_sql, asked_params = asked.values(*columns).query.sql_with_params()
    (deals_sql, deals_params), (snoozed_sql, snoozed_params), (pipelines_sql, pipelines_params) = _same_sql(
        org, reader.pipelines
    )
    ids = {
        facet: sorted({int(value) for each in (query, *further) for value in getattr(each, facet) if value != NONE})
        for facet in NAMED
    }
    sql = _OVERVIEW.format(
        asked=asked_sql,
        deals=deals_sql,
        snoozed=snoozed_sql,
        pipelines=pipelines_sql,
        found="found" if matching else "true",
        sums=sums_sql("found" if matching else "true"),
        barrier="OFFSET 0" if matching else "",
    )
    params: list[Any] = [list(reader.mine), *snoozed_params, *pipelines_params, org, ids["owner"]]
    params += [org, ids["pipeline"], *deals_params, org, ids["stage"], *deals_params, org, ids["company"]]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, *asked_params])
        rows = cursor.fetchall()
    snoozes, several, named = rows[0][-3:] if rows else (0, False, None)
    names: dict[str, dict[str, str]] = {facet: {} for facet in NAMED}
    for facet, pk, name in json.loads(named or "[]"):
        names[facet][str(pk)] = name
    every, at_risk = sum(row[2] for row in rows), sum(row[2] for row in rows if row[1])
    views = {
        "open": every,
        "risk": at_risk,
        "clear": every - at_risk,
        "mine": sum(row[3] for row in rows),
        "snoozed": snoozes,
    }
    return Overview(views, _totals(rows), names, several)


def count_deals(
    deals: DealQuerySet,
    query: DealQuery,
    reader: Reader,
    facets: Collection[str],
    further: Sequence[DealQuery] = (),
) -> Counts:
    """How many of `deals` (the open ones) each option of some facets would find, beside the other facets of a question,
    and how many each of the further questions finds. One statement."""
    org, parts = reader.organisation.pk, {}
    bands, spans = _Scale.of(dict(BANDS)), _Scale.of(dict(periods(reader.today)))

    def part(
        sql: str, asked: "QuerySet[Deal, Any]", before: Sequence[Any] = (), after: Sequence[Any] = ()
    ) -> tuple[str, Any]:
        inner, params = asked.query.sql_with_params()
        return sql.format(deals=inner), [*before, *params, *after]

    def but(facet: str, *columns: str) -> "QuerySet[Deal, Any]":
        matching: QuerySet[Deal, Any] = deals.order_by().filter(query.matching(reader, without=facet)).values(*columns)
        return matching

    if "alert" in facets:
        parts["alert"] = part(_KINDS, but("alert", "alert_mask"), [(1 << COUNT_SHIFT) - 1])
    if not set(PLACES).isdisjoint(facets):
        passes = ExpressionWrapper(query.matching(reader, without=PLACES) or Q(Value(True)), BooleanField())
        placed = deals.order_by().annotate(passes=passes).values("owner_id", "stage_id", "pipeline_id", "passes")
        parts["place"] = part(_PLACES, placed, after=[org] * 4)
    if "amount" in facets:
        parts["amount"] = part(_AMOUNTS, but("amount", "amount", "value"), [bands.bounds])
    if "close" in facets:
        parts["close"] = part(_CLOSES, but("close", "close_on"), [spans.bounds])
    if further:
        parts["each"] = _count_each(deals, [one.matching(reader) for one in further])
    if not parts:
        return Counts()
    with connection.cursor() as cursor:
        columns = (f"(SELECT jsonb_agg(x) FROM ({sql}) x)" for sql, _params in parts.values())
        cursor.execute(f"SELECT {', '.join(columns)}", [each for _sql, params in parts.values() for each in params])
        found = {name: json.loads(text or "[]") for name, text in zip(parts, cursor.fetchone(), strict=True)}
    options: dict[str, Counter[str]] = {}
    if "alert" in found:
        options["alert"] = _by_kind(found["alert"], query)
    if "amount" in found:
        options["amount"] = _by_span(found["amount"], bands, NO_AMOUNT)
    if "close" in found:
        options["close"] = _by_span(found["close"], spans, None)
    if "place" in found:
        options |= _by_place(found["place"], query, reader)
    return Counts(found["each"][0]["each"] if further else [], options, _places(found.get("place", [])))


def _count_each(deals: DealQuerySet, conditions: Sequence[Q]) -> tuple[str, tuple[Any, ...]]:
    """A statement for how many deals meet each condition, as one array."""
    columns = {f"n{n}": ExpressionWrapper(q or Q(Value(True)), BooleanField()) for n, q in enumerate(conditions)}
    sql, params = deals.order_by().annotate(**columns).values(*columns).query.sql_with_params()
    counts = ", ".join(f"count(*) FILTER (WHERE {name})" for name in columns)
    return f'SELECT ARRAY[{counts}] AS "each" FROM ({sql}) question', params


def _key(pk: int | None) -> str:
    return NONE if pk is None else str(pk)


def _by_kind(rows: Iterable[Mapping[str, int]], query: DealQuery) -> Counter[str]:
    """Of deals that must have all of the chosen kinds, those that would be left with one more."""
    must = sum(BITS[kind] for kind in query.alert) if query.match == "all" else 0
    rows = [row for row in rows if row["kinds"] & must == must]
    return Counter({kind: sum(row["count"] for row in rows if row["kinds"] & bit) for kind, bit in BITS.items()})


def _by_span(rows: Iterable[Mapping[str, int]], scale: _Scale, none: int | None) -> Counter[str]:
    buckets: Counter[int | None] = Counter({row["span"]: row["count"] for row in rows})
    found = Counter({name: sum(buckets[n] for n in span) for name, span in scale.spans.items()})
    found[NONE] = buckets[none]
    return found


def _by_place(rows: Iterable[Mapping[str, Any]], query: DealQuery, reader: Reader) -> dict[str, Counter[str]]:
    """Each facet of the place counts the deals that the others of it let pass."""
    found: dict[str, Counter[str]] = {name: Counter() for name in PLACES}
    chosen = {name: set(getattr(query, name)) for name in PLACES}
    teams: dict[int | None, tuple[str, ...]] = {}
    for row in rows:
        if row["owner"] not in teams:
            mine = tuple(str(team.pk) for team in reader.teams if row["owner"] in team.owners)
            teams[row["owner"]] = mine or (NONE,)
        has = {name: (_key(row[name]),) for name in ("owner", "pipeline", "stage")} | {"team": teams[row["owner"]]}
        fails = [name for name in PLACES if chosen[name] and chosen[name].isdisjoint(has[name])]
        for name in PLACES if not fails else fails if len(fails) == 1 else ():
            for value in has[name]:
                found[name][value] += row["count"]
    return found


def _places(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Place]]:
    found: dict[str, dict[str, Place]] = {"owner": {}, "pipeline": {}, "stage": {}}
    for row in rows:
        found["owner"][_key(row["owner"])] = Place(row["owner"], row["owner_name"] or "")
        found["pipeline"][_key(row["pipeline"])] = Place(
            row["pipeline"], row["pipeline_name"] or "", position=row["pipeline_position"] or 0
        )
        found["stage"][_key(row["stage"])] = Place(
            row["stage"], row["stage_name"] or "", row["stage_pipeline"] or "", row["stage_position"] or 0
        )
    return found


def _totals(rows: Iterable[tuple[Any, ...]]) -> list[Total]:
    """The largest amount first; currencies of no deal that was found are left out."""
    totals: dict[str, Total] = {}
    for currency, at_risk, _every, _mine, found, *rest in rows:
        total = totals.get(currency, Total(0, 0, Sum(currency), Sum(currency)))
        totals[currency] = Total(
            total.count + found,
            total.count_at_risk + (found if at_risk else 0),
            total.sum.plus(*rest[:4]),
            total.sum_at_risk.plus(*rest[:4]) if at_risk else total.sum_at_risk,
        )
    return sorted((t for t in totals.values() if t.count), key=lambda total: (-total.amount, total.currency))


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


def facets_of(
    query: DealQuery,
    known: Overview,
    reader: Reader,
    counts: Counts,
    asked: Collection[str],
    companies: Iterable[Option] = (),
) -> list[Facet]:
    """In the order of the bar, those in `asked` with their options. One that offers no choice, say of one pipeline, is
    left out unless it is in use."""
    facets = [
        Facet("alert", _("Alert"), "bell", _alert_groups(query, counts) if "alert" in asked else None),
        Facet("owner", _("Owner"), "user-round", _place_groups("owner", query, counts) if "owner" in asked else None),
        Facet("team", _("Team"), "users", _team_groups(query, counts, reader) if "team" in asked else None)
        if reader.teams or query.team
        else None,
        Facet(
            "pipeline",
            _("Pipeline"),
            "layout-list",
            _place_groups("pipeline", query, counts) if "pipeline" in asked else None,
        )
        if known.pipelines or query.pipeline
        else None,
        Facet("stage", _("Stage"), "milestone", _stage_groups(query, counts) if "stage" in asked else None),
        _amount_facet(query, counts, reader, "amount" in asked),
        _close_facet(query, counts, reader, "close" in asked),
        Facet("company", _("Company"), "building-2", [Group("", list(companies))] if "company" in asked else None),
    ]
    return [_with_choices(facet, query) for facet in facets if facet]


def _with_choices(facet: Facet, query: DealQuery) -> Facet:
    fields = [pair for pair in query.params() if pair[0] in (facet.name, f"{facet.name}_from", f"{facet.name}_to")]
    chosen = len(getattr(query, facet.name)) + bool(facet.bounds and (facet.bounds.start or facet.bounds.end))
    if facet.name == "alert":
        fields.append(("match", query.match))
    return replace(facet, chosen=chosen, fields=tuple(fields))


NOBODY = {
    "owner": gettext_lazy("No owner"),
    "team": gettext_lazy("No team"),
    "pipeline": gettext_lazy("No pipeline"),
    "stage": gettext_lazy("No stage"),
    "company": gettext_lazy("No company"),
}


def label_of(facet: str, value: str, known: Overview, reader: Reader) -> str:
    """A choice in words."""
    match facet:
        case "alert":
            return str(BY_KIND[value].title)
        case "amount":
            return _amount_labels(reader)[value]
        case "close":
            return _close_labels()[value]
        case _ if value == NONE:
            return str(NOBODY[facet])
        case "team":
            return next(team.name for team in reader.teams if str(team.pk) == value)
    return known.names[facet][value] or str(NOBODY[facet])


def bounds_of(query: DealQuery, reader: Reader) -> dict[str, str]:
    """The bounds that are chosen, by facet and in words."""
    found = {"amount": _amount_label(query.amount_from, query.amount_to, reader.organisation.currency)}
    ends = [("from", query.close_from), ("to", query.close_to)]
    texts = {name: formats.day(day, reader.today) for name, day in ends if day}
    if len(texts) == 2:
        found["close"] = _("Closes %(from)s to %(to)s") % texts
    elif texts:
        found["close"] = (_("Closes from %(from)s") if "from" in texts else _("Closes by %(to)s")) % texts
    return {facet: label for facet, label in found.items() if label}


def _alert_groups(query: DealQuery, counts: Counts) -> list[Group]:
    families, count = [], counts.options["alert"]
    for family, rules in groupby(RULES, key=lambda rule: rule.family):
        options = [Option(r.kind, str(r.title), count[r.kind], r.kind in query.alert, r.icon) for r in rules]
        kinds = {option.value for option in options}
        every = kinds <= set(query.alert)
        alert = set(query.alert) - kinds if every else set(query.alert) | kinds
        toggle = query.with_(alert=tuple(sorted(alert))).url if len(kinds) > 1 else ""
        families.append(Group(str(Family(family).label), options, toggle, every))
    return families


def _place_options(name: str, query: DealQuery, counts: Counts) -> list[Option]:
    """The lack of one last."""
    places = sorted(
        counts.places[name].items(),
        key=lambda item: (item[1].key is None, item[1].group, item[1].position, item[1].label.casefold(), item[0]),
    )
    chosen, nobody = getattr(query, name), str(NOBODY[name])
    return [
        Option(value, place.label or nobody, counts.options[name][value], value in chosen) for value, place in places
    ]


def _place_groups(name: str, query: DealQuery, counts: Counts) -> list[Group]:
    options = _place_options(name, query, counts)
    return [Group("", options)] if options else []


def _team_groups(query: DealQuery, counts: Counts, reader: Reader) -> list[Group]:
    labels = {str(team.pk): team.name for team in reader.teams} | {NONE: str(NOBODY["team"])}
    return [Group("", _labelled(labels, counts.options["team"], query.team))]


def _labelled(labels: Mapping[str, str], counts: Counter[str], chosen: Collection[str]) -> list[Option]:
    return [Option(value, label, counts[value], value in chosen) for value, label in labels.items()]


def _stage_groups(query: DealQuery, counts: Counts) -> list[Group]:
    options, places = _place_options("stage", query, counts), counts.places["stage"]
    groups = groupby(options, key=lambda option: places[option.value].group)
    return [Group(name, list(members)) for name, members in groups]


def _amount_label(start: Decimal | int | None, end: Decimal | int | None, currency: str) -> str:
    texts = {
        name: formats.money(bound, currency) for name, bound in (("from", start), ("to", end)) if bound is not None
    }
    if start is None:
        return _("Up to %(to)s") % texts if texts else ""
    return _("%(from)s to %(to)s") % texts if end is not None else _("From %(from)s") % texts


def _amount_labels(reader: Reader) -> dict[str, str]:
    currency = reader.organisation.currency
    return {band: _amount_label(*bounds, currency) for band, bounds in BANDS.items()} | {NONE: _("No amount")}


def _amount_facet(query: DealQuery, counts: Counts, reader: Reader, asked: bool) -> Facet:
    currency = reader.organisation.currency
    groups = None
    if asked:
        groups = [Group("", _labelled(_amount_labels(reader), counts.options["amount"], query.amount))]
    start, end = (
        f"{bound.normalize():f}" if bound is not None else "" for bound in (query.amount_from, query.amount_to)
    )
    return Facet("amount", _("Amount"), "banknote", groups, Bounds("number", start, end, currency))


def _close_labels() -> dict[str, str]:
    return {
        "overdue": _("Overdue"),
        "this_month": _("This month"),
        "next_month": _("Next month"),
        "this_quarter": _("This quarter"),
        "later": _("Later"),
        NONE: _("No close date"),
    }


def _close_facet(query: DealQuery, counts: Counts, reader: Reader, asked: bool) -> Facet:
    groups = [Group("", _labelled(_close_labels(), counts.options["close"], query.close))] if asked else None
    start, end = (day.isoformat() if day else "" for day in (query.close_from, query.close_to))
    return Facet("close", _("Close date"), "calendar-clock", groups, Bounds("date", start, end))


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
