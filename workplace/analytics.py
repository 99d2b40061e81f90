"""How often alerts come and how they go: by week, rule, rep and team. One statement, whatever the number of alerts.

Weeks are ISO weeks of the organisation's zone: they are told to the database as moments, so that a week with a night in
which the clocks change has its 167 or 169 hours.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from alerts import formats
from alerts import settings as alert_settings
from alerts.deal_query import BITS, DealQuery
from alerts.models import Alert
from alerts.preview import ALL_KINDS
from alerts.rules import BY_KIND, RULES, Family
from deals.clock import Clock
from workplace.charts import BarChart, Column, stacked
from workplace.scope import OWN, Scope

PERIODS = (12, 26, 52)  # weeks
MOST_WEEKS = 104
SOON = 14  # days within which an alert is resolved soon
FEWEST = 5  # below, a share or a median says more about chance than about the alert
EARLIEST = date(2000, 1, 3)
FAMILIES = tuple(Family)


# ---- The period


@dataclass(frozen=True)
class Period:
    """Whole ISO weeks: `first` is a Monday. `chosen`: the number of weeks of PERIODS, 0 for dates of one's own."""

    first: date
    weeks: int
    chosen: int
    refused: tuple[str, ...] = ()

    @property
    def last(self) -> date:
        return self.first + timedelta(weeks=self.weeks, days=-1)

    @property
    def mondays(self) -> list[date]:
        """Of each week, and of the one after the last."""
        return [self.first + timedelta(weeks=n) for n in range(self.weeks + 1)]

    @property
    def params(self) -> list[tuple[str, str]]:
        if self.chosen:
            return [("weeks", str(self.chosen))] if self.chosen != PERIODS[0] else []
        return [("from", self.first.isoformat()), ("to", self.last.isoformat())]


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def read_period(data: QueryDict, clock: Clock) -> Period:
    """The period that `data` asks for by `weeks`, or by the days `from` and `to`; the last twelve weeks otherwise."""
    refused: list[str] = []
    weeks = data.get("weeks") or str(PERIODS[0])
    if weeks not in map(str, PERIODS):
        refused.append(_("There is no period of “%(value)s” weeks; the last 12 are shown.") % {"value": weeks[:80]})
        weeks = str(PERIODS[0])
    this_week = monday(clock.today)

    def day(name: str) -> date | None:
        if not (value := data.get(name, "")):
            return None
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = date.min
        if found < EARLIEST:
            refused.append(_("“%(value)s” is no date that can be shown; it was left out.") % {"value": value[:80]})
            return None
        return found

    start, end = day("from"), day("to")
    if start is None and end is None:
        return Period(this_week - timedelta(weeks=int(weeks) - 1), int(weeks), int(weeks), tuple(refused))
    last = min(monday(end), this_week) if end else this_week
    first = monday(start) if start else last - timedelta(weeks=PERIODS[0] - 1)
    if first > last:
        refused.append(_("The period ends before it begins, or lies ahead; the last 12 weeks are shown."))
        return Period(this_week - timedelta(weeks=PERIODS[0] - 1), PERIODS[0], PERIODS[0], tuple(refused))
    count = (last - first).days // 7 + 1
    if count > MOST_WEEKS:
        refused.append(_("At most %(most)s weeks are shown: the last of the period.") % {"most": MOST_WEEKS})
        count = MOST_WEEKS
    return Period(last - timedelta(weeks=count - 1), count, 0, tuple(refused))


# ---- What is asked of the database

SAID = """
count(*) AS opened, count(*) FILTER (WHERE resolved) AS resolved,
percentile_disc(0.5) WITHIN GROUP (ORDER BY days) FILTER (WHERE resolved) AS median,
percentile_disc(0.5) WITHIN GROUP (ORDER BY days) FILTER (WHERE NOT resolved) AS median_open,
count(*) FILTER (WHERE ripe) AS ripe
""" + "".join(
    f", count(*) FILTER (WHERE ripe AND days <= {SOON} AND reason = '{reason}') AS {reason}"
    for reason in Alert.Reason.values
)
FLAGGED = f"count(*) AS deals, count(*) FILTER (WHERE d.alert_mask & {ALL_KINDS} <> 0) AS flagged" + "".join(
    f", count(*) FILTER (WHERE d.alert_mask & {bit} <> 0) AS {kind}" for kind, bit in BITS.items()
)
# Of alerts, those that were open at some time of the period. `week` and `ended` number its weeks from 1, in which the
# alert was opened and resolved; 0 is before. Deals are those of today: their owner, team and pipeline.
REPORT = f"""
WITH alert AS MATERIALIZED (
    SELECT a.id, a.kind, COALESCE(d.owner_id, 0) AS owner, a.reason, a.resolved_at IS NOT NULL AS resolved,
           width_bucket(a.opened_at, %(bounds)s::timestamptz[]) AS week,
           width_bucket(a.resolved_at, %(bounds)s::timestamptz[]) AS ended,
           (COALESCE(a.resolved_at, %(now)s) AT TIME ZONE %(zone)s)::date - (a.opened_at AT TIME ZONE %(zone)s)::date
               AS days,
           a.opened_at < %(ripe)s AS ripe
    FROM alerts_alert a JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id = a.deal_id
    WHERE a.organisation_id = %(org)s AND a.opened_at < %(end)s
          AND (a.resolved_at IS NULL OR a.resolved_at >= %(start)s) AND {{scope}}
), team AS (
    SELECT m.team_id AS team, m.colleague_id AS owner FROM deals_teammember m
    JOIN deals_team t ON t.organisation_id = %(org)s AND t.id = m.team_id AND NOT t.stale
    WHERE m.organisation_id = %(org)s
), began AS (
    -- Nothing is evaluated before the first synchronisation; the alerts are only asked where neither is known.
    SELECT COALESCE(LEAST((SELECT min(first_synced_at) FROM deals_source WHERE organisation_id = %(org)s),
                          (SELECT min(started_at) FROM alerts_run WHERE organisation_id = %(org)s)),
                    (SELECT min(opened_at) FROM alerts_alert WHERE organisation_id = %(org)s)) AS at
), opened AS (
    SELECT week, kind, count(*) AS n FROM alert GROUP BY week, kind
), ended AS (
    SELECT ended AS week, kind, count(*) AS n FROM alert WHERE resolved AND ended <= %(weeks)s GROUP BY ended, kind
), deal AS (
    SELECT COALESCE(d.owner_id, 0) AS owner, {FLAGGED} FROM deals_deal d
    WHERE d.organisation_id = %(org)s AND d.status = 'open' AND NOT d.archived AND NOT d.deleted
          AND (%(watched)s::bigint[] IS NULL OR d.pipeline_id = ANY(%(watched)s::bigint[])) AND {{scope}}
    GROUP BY 1
), said AS (
    SELECT kind, owner, NULL::bigint AS team, {SAID} FROM alert WHERE week BETWEEN 1 AND %(weeks)s
    GROUP BY GROUPING SETS ((), (kind), (owner))
), said_of_team AS (
    SELECT NULL AS kind, NULL AS owner, team, {SAID} FROM alert JOIN team USING (owner)
    WHERE week BETWEEN 1 AND %(weeks)s GROUP BY team
), feedback AS (
    SELECT a.kind, count(*) FILTER (WHERE f.useful) AS useful, count(*) FILTER (WHERE NOT f.useful) AS false
    FROM alerts_feedback f JOIN alert a ON a.id = f.alert_id
    WHERE f.organisation_id = %(org)s AND a.week BETWEEN 1 AND %(weeks)s GROUP BY a.kind
)
"""
PARTS = ("began", "opened", "ended", "deal", "said", "said_of_team", "feedback")
REPORT += " UNION ALL ".join(f"SELECT '{part}', to_jsonb({part}) FROM {part}" for part in PARTS)
SCOPE = """(%(sellers)s::bigint[] IS NULL OR COALESCE(d.owner_id, 0) = ANY(%(sellers)s::bigint[]))
           AND (%(pipeline)s::bigint IS NULL OR d.pipeline_id = %(pipeline)s::bigint)"""

Rows = dict[str, list[dict[str, Any]]]


def _read(organisation: Organisation, period: Period, scope: Scope, clock: Clock) -> Rows:
    """The rows of each part."""
    bounds = [_midnight(day, clock.zone) for day in period.mondays]
    watched = alert_settings.draft_of(alert_settings.current(organisation))["pipelines"]
    found: Rows = {part: [] for part in PARTS}
    with connection.cursor() as cursor:
        cursor.execute(
            REPORT.format(scope=SCOPE),
            {
                "org": organisation.pk,
                "bounds": bounds,
                "start": bounds[0],
                "end": bounds[-1],
                "weeks": period.weeks,
                "zone": clock.zone.key,
                "now": clock.now,
                "ripe": _midnight(clock.today - timedelta(days=SOON - 1), clock.zone),
                "watched": watched,
                "sellers": None if scope.sellers is None else sorted(scope.sellers),
                "pipeline": scope.pipeline,
            },
        )
        for part, row in cursor.fetchall():
            found[part].append(row if isinstance(row, dict) else json.loads(row))
    return found


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


# ---- What is shown


@dataclass(frozen=True)
class Week:
    """`opened` and `open` by family; None before the first evaluation. `running`: it is not over yet."""

    first: date
    opened: list[int] | None
    resolved: int
    open: list[int] | None
    running: bool

    @property
    def label(self) -> str:
        """ "W47"."""
        return _("W%(week)s") % {"week": self.first.isocalendar().week}

    @property
    def name(self) -> str:
        """ "Week 47, from 16 Nov 2026"."""
        values = {"week": self.first.isocalendar().week, "day": formats.day(self.first)}
        return _("Week %(week)s, from %(day)s") % values

    @property
    def total(self) -> int:
        return sum(self.opened or ())

    @property
    def total_open(self) -> int:
        return sum(self.open or ())


@dataclass(frozen=True)
class Line:
    """An alert, a rep, a team, or all of them. Shares and medians are empty where there are too few to speak of."""

    label: str
    icon: str = ""
    url: str = ""
    deals: int = 0  # flagged now
    of: int = 0  # open deals
    opened: int = 0  # in the period, as all that follows
    resolved: int = 0
    median_days: int | None = None
    median_open_days: int | None = None
    ripe: int = 0  # opened long enough ago to say whether they were resolved soon
    reasons: Mapping[str, int] = field(default_factory=dict)  # of those that were
    useful: int = 0
    false: int = 0

    @property
    def still_open(self) -> int:
        return self.opened - self.resolved

    @property
    def soon(self) -> int:
        return sum(self.reasons.values())

    @property
    def share_of_deals(self) -> str:
        return formats.percent(self.deals / self.of) if self.of >= FEWEST else ""

    @property
    def share_soon(self) -> str:
        return formats.percent(self.soon / self.ripe) if self.ripe >= FEWEST else ""

    @property
    def by_what(self) -> list[str]:
        """ "the facts changed 52%", the most frequent first, as shares of all that could have been resolved soon."""
        found = sorted(((n, reason) for reason, n in self.reasons.items() if n), key=lambda each: (-each[0], each[1]))
        return [f"{Alert.Reason(reason).label}\u00a0{formats.percent(n / self.ripe)}" for n, reason in found]

    @property
    def median(self) -> str:
        return formats.days(self.median_days) if self.resolved >= FEWEST and self.median_days is not None else ""

    @property
    def median_open(self) -> str:
        known = self.still_open >= FEWEST and self.median_open_days is not None
        return formats.days(self.median_open_days) if known and self.median_open_days is not None else ""


@dataclass(frozen=True)
class Table:
    name: str  # in addresses and ids
    title: str
    head: str
    lines: list[Line]

    @property
    def most(self) -> int:
        return max(1, *(line.deals for line in self.lines), 1)


@dataclass(frozen=True)
class Report:
    period: Period
    weeks: list[Week]
    total: Line
    tables: list[Table]
    began: date | None  # the day of the first evaluation
    opened_chart: BarChart
    open_chart: BarChart

    @property
    def began_inside(self) -> bool:
        """Whether the period holds the first evaluation, and with it all that fired already then."""
        return self.began is not None and self.period.first <= self.began <= self.period.last

    @property
    def unknown_weeks(self) -> int:
        return sum(week.opened is None for week in self.weeks)

    @property
    def span(self) -> str:
        values = {"first": formats.day(self.period.first), "last": formats.day(self.period.last)}
        return _("%(first)s to %(last)s") % values

    @property
    def spoken_opened(self) -> str:
        """The first picture in a sentence."""
        n = self.total.opened
        values = {"count": formats.number(n), "span": self.span}
        return ngettext("%(count)s alert opened, %(span)s.", "%(count)s alerts opened, %(span)s.", n) % values

    @property
    def spoken_open(self) -> str:
        n = self.weeks[-1].total_open
        values = {"count": formats.number(n)}
        return (
            ngettext(
                "%(count)s alert open at the end of the period.", "%(count)s alerts open at the end of the period.", n
            )
            % values
        )


def analytics(organisation: Organisation, period: Period, scope: Scope, clock: Clock) -> Report:
    """What happened to alerts in `period` on the deals of `scope`. Two statements."""
    rows = _read(organisation, period, scope, clock)
    [began_at] = [row["at"] for row in rows["began"]]
    began = datetime.fromisoformat(began_at).astimezone(clock.zone).date() if began_at else None
    weeks = _weeks(rows, period, began, clock)
    said = [*rows["said"], *rows["said_of_team"]]
    [everything] = [r for r in said if r["kind"] is None and r["owner"] is None and r["team"] is None] or [{}]
    feedback = {row["kind"]: row for row in rows["feedback"]}

    def line(label: str, row: Mapping[str, Any], counts: Callable[[dict[str, Any]], bool], **more: Any) -> Line:
        kind = more.pop("kind", "")
        of_owners, votes = [r for r in rows["deal"] if counts(r)], feedback.get(kind, {})
        return Line(
            label,
            deals=sum(r[kind or "flagged"] for r in of_owners),
            of=sum(r["deals"] for r in of_owners),
            opened=row.get("opened", 0),
            resolved=row.get("resolved", 0),
            median_days=row.get("median"),
            median_open_days=row.get("median_open"),
            ripe=row.get("ripe", 0),
            reasons={reason: row[reason] for reason in Alert.Reason.values if row.get(reason)},
            useful=votes.get("useful", 0),
            false=votes.get("false", 0),
            **more,
        )

    def of(part: str, key: Any) -> Mapping[str, Any]:
        return next((row for row in said if row[part] == key), {})

    def every(_row: Mapping[str, Any]) -> bool:
        return True

    by_kind = [
        line(str(rule.title), of("kind", rule.kind), every, kind=rule.kind, icon=rule.icon, url=_url(scope, rule.kind))
        for rule in RULES
    ]
    sellers = {row["owner"] for row in rows["deal"]} | {row["owner"] for row in said if row["owner"] is not None}
    by_owner = [
        line(scope.owner_name(pk), of("owner", pk), lambda r, pk=pk: r["owner"] == pk)  # type: ignore[misc]
        for pk in _by_name(sellers, scope.names)
    ]
    by_team = [
        line(name, of("team", pk), lambda r, pk=pk: r["owner"] in scope.members[pk])  # type: ignore[misc]
        for pk, name in scope.teams.items()
        if scope.sellers is None or scope.sellers & scope.members[pk]
    ]
    tables = [
        Table("rules", _("By alert"), _("Alert"), by_kind),
        Table("reps", _("By rep"), _("Rep"), by_owner),
        Table("teams", _("By team"), _("Team"), by_team),
    ]
    return Report(
        period,
        weeks,
        line(_("All alerts"), everything, every),
        [table for table in tables if table.lines],
        began,
        stacked([Column(w.label, w.opened, _titles(w, w.opened)) for w in weeks]),
        stacked([Column(w.label, w.open, _titles(w, w.open)) for w in weeks]),
    )


def _weeks(rows: Rows, period: Period, began: date | None, clock: Clock) -> list[Week]:
    def by_family(part: str) -> list[list[int]]:
        """Of each week, that before the period first."""
        counts = [[0] * len(FAMILIES) for _week in range(period.weeks + 1)]
        for row in rows[part]:
            counts[row["week"]][FAMILIES.index(BY_KIND[row["kind"]].family)] += row["n"]
        return counts

    opened, ended = by_family("opened"), by_family("ended")
    changes = [[o - e for o, e in zip(*both, strict=True)] for both in zip(opened, ended, strict=True)]
    still_open = list(accumulate(changes, lambda before, change: [b + c for b, c in zip(before, change, strict=True)]))
    weeks = []
    for n, first in enumerate(period.mondays[:-1], start=1):
        known = began is not None and first + timedelta(days=6) >= began
        running = first <= clock.today < first + timedelta(days=7)
        weeks.append(
            Week(first, opened[n] if known else None, sum(ended[n]), still_open[n] if known else None, running)
        )
    return weeks


def _titles(week: Week, values: Sequence[int] | None) -> list[str]:
    return [
        f"{week.name} · {family.label}: {formats.number(value)}"
        for family, value in zip(FAMILIES, values or (), strict=False)
    ]


def _by_name(owners: Iterable[int], names: Mapping[int, str]) -> list[int]:
    """Deals of nobody last."""
    return sorted(owners, key=lambda pk: (not pk, names.get(pk, "").casefold(), pk))


def _url(scope: Scope, kind: str) -> str:
    """The list of the deals behind a number."""
    chosen = dict(scope.params)
    ids: dict[str, Any] = {name: (chosen[name],) for name in ("owner", "team", "pipeline") if chosen.get(name)}
    if ids.get("owner") == (OWN,):
        ids = {**ids, "owner": (), "view": "mine"}
    return DealQuery(alert=(kind,), **ids).url
