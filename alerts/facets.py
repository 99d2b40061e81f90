"""Tabs and facets of the deal list, with their counts: two statements. Counts leave their own facet out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models import BigIntegerField, Count, F, Q, Sum, Value
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext as _

from alerts.deal_query import NONE, DealQuery, has_any
from alerts.rules import RULES, Family
from deals.querysets import DealQuerySet

AT_RISK = Q(alert_mask__gt=0)


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


def count_alerts(deals: DealQuerySet, query: DealQuery, email: str) -> dict[str, int]:
    """Deals per view, of all open ones, and per alert kind, of those that match the other facets."""
    return deals.aggregate(
        open=Count("pk"),
        risk=Count("pk", filter=AT_RISK),
        clear=Count("pk", filter=~AT_RISK),
        mine=Count("pk", filter=Q(owner__email__iexact=email)),
        **_kinds(query.matching(email, without="alert")),
    )


def _kinds(where: Q) -> dict[str, Count]:
    return {rule.kind: Count("pk", filter=where & has_any(1 << rule.bit)) for rule in RULES}


def count_kinds(deals: DealQuerySet, where: Q) -> dict[str, int]:
    """How many deals have an open alert of each kind."""
    return deals.aggregate(**_kinds(where))


def group_deals(deals: DealQuerySet, query: DealQuery, email: str) -> dict[str, list[dict[str, Any]]]:
    """Counts and sums per owner and per stage, each without its own facet, and per currency: one statement."""

    def grouped(table: str, key: Any, label: str, without: str = "", **place: Any) -> Any:
        where = query.matching(email, without)
        return (
            deals.order_by()
            .values(table=Value(table), key=key, label=F(label), **{"group": Value(""), "position": Value(0), **place})
            .annotate(
                n=Count("pk", filter=where),
                n_at_risk=Count("pk", filter=where & AT_RISK),
                total=Sum("amount", filter=where),
                total_at_risk=Sum("amount", filter=where & AT_RISK),
            )
        )

    position = Coalesce(F("stage__position"), Value(0))
    rows = grouped("owner", F("owner_id"), "owner__name", "owner").union(
        grouped("stage", F("stage_id"), "stage__name", "stage", group=F("stage__pipeline__name"), position=position),
        grouped("currency", Cast(Value(None), BigIntegerField()), "currency"),
        all=True,
    )
    found: dict[str, list[dict[str, Any]]] = {"owner": [], "stage": [], "currency": []}
    for row in rows:
        found[row["table"]].append(row)
    found["currency"] = sorted(
        (row for row in found["currency"] if row["n"]), key=lambda row: (-(row["total"] or 0), row["label"])
    )
    return found


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


def _options(rows: Sequence[dict[str, Any]], chosen: tuple[str, ...], nobody: str) -> list[Option]:
    found: dict[str, Option] = {}
    for row in rows:
        value = NONE if row["key"] is None else str(row["key"])
        count = row["n"] + (found[value].count if value in found else 0)
        found[value] = Option(value, row["label"] or nobody, count, value in chosen)
    return list(found.values())


def owner_facet(query: DealQuery, rows: list[dict[str, Any]]) -> Facet:
    rows.sort(key=lambda row: (row["key"] is None, (row["label"] or "").casefold()))
    options = _options(rows, query.owner, _("No owner"))
    return Facet("owner", _("Owner"), "users", [Group("", options)] if options else [])


def stage_facet(query: DealQuery, rows: list[dict[str, Any]]) -> Facet:
    rows.sort(key=lambda row: (row["key"] is None, row["group"] or "", row["position"]))
    pipelines = [
        Group(name or "", _options(list(members), query.stage, _("No stage")))
        for name, members in groupby(rows, key=itemgetter("group"))
    ]
    return Facet("stage", _("Stage"), "milestone", pipelines)
