"""A pipeline review: per owner the figures and the deals, with what differs between then and now. Sets, never loops.

Compared are two states, not events: an alert that came and went in between, or an amount that is again what it was, is
no change. "Then" is the start of the last review of the same team in which something was looked at.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from accounts.params import whole
from alerts import formats, wording
from alerts import settings as alert_settings
from alerts.amounts import ZERO, Sum, sums_sql, told
from alerts.cards import ShownAlert, shown_alerts
from alerts.deal_query import BITS, NONE
from alerts.models import Alert
from alerts.rules import BY_KIND, COUNT_SHIFT
from alerts.wording import Names
from deals.clock import Clock
from deals.models import Deal, FieldChange, Team, TeamMember
from deals.querysets import OPEN, DealQuerySet
from workplace.models import Note, Review, ReviewedDeal
from workplace.notes import of_deals

LAST, ON = "last", "date"
PERIODS: Mapping[str, int] = {"7": 7, "14": 14, "30": 30}  # days
FIRST_DAYS = 14  # before the first review of all
EARLIEST = date(2000, 1, 1)
# Deals at first shown of an owner, and of all owners together, but some of each; deals on a page of one owner.
OF_ONE, OF_ALL, AT_LEAST, PAGE_SIZE = 50, 300, 5, 100
PRESENTED, PRINTED = 10_000, 600
NOTES_SHOWN = 10  # of a deal; all are on its page


# ---- What the address bar asks for


@dataclass(frozen=True, slots=True)
class ReviewQuery:
    """What cannot be is left out and named in `refused`, as sentences.

    `team` is None for everybody; `on`: since when, if `period` is "date"; `rep`: the id of one owner, or "none".
    """

    team: int | None = None
    period: str = LAST
    on: date | None = None
    rep: str = ""
    page: int = 1
    refused: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: QueryDict, teams: Sequence[Team], today: date) -> "ReviewQuery":
        """`teams`: those to choose from, own ones first (`teams_for`); the first own one is the default."""
        refused = []
        own = next((team.pk for team in teams if team.own), None)  # type: ignore[attr-defined]
        team, period, on = data.get("team", ""), data.get("period") or LAST, None
        known = {str(each.pk): each.pk for each in teams}
        if team and team != "all" and team not in known:
            refused.append(_("There is no team “%(value)s”. All teams are shown.") % {"value": team[:80]})
            team = "all"
        if period == ON:
            said = data.get("date", "")
            try:
                on = date.fromisoformat(said) if said else today - timedelta(days=FIRST_DAYS)
            except ValueError:
                period = LAST
                sentence = _("There is no date “%(value)s”. Changes are told since the last review.")
                refused.append(sentence % {"value": said[:80]})
            else:
                if not EARLIEST <= on <= today:
                    period, on = LAST, None
                    refused.append(_("Choose a date between 2000 and today. Changes are told since the last review."))
        elif period not in (LAST, *PERIODS):
            sentence = _("There is no period “%(value)s”. Changes are told since the last review.")
            refused.append(sentence % {"value": period[:80]})
            period = LAST
        rep, page = data.get("rep", ""), data.get("page") or "1"
        number = whole(page, 10**5)
        if rep and rep != NONE and whole(rep) is None:
            refused.append(_("There is no owner “%(value)s”; this filter was left out.") % {"value": rep[:80]})
            rep = ""
        if not number:
            refused.append(_("There is no page “%(value)s”. This is the first one.") % {"value": page[:80]})
            number = 1
        return cls(known.get(team) if team else own, period, on, rep, number, tuple(refused))

    def with_(self, **changes: Any) -> "ReviewQuery":
        return replace(self, **{"page": 1, "refused": (), **changes})

    def address(self, page: str = "workplace:review", **more: Any) -> str:
        """Of a page of the review that shows this team and period."""
        params: dict[str, Any] = {"team": self.team or "all"}
        if self.period != LAST:
            params["period"] = self.period
        if self.on:
            params["date"] = self.on.isoformat()
        if self.rep:
            params["rep"] = self.rep
        if self.page > 1:
            params["page"] = self.page
        return f"{reverse(page)}?{urlencode(params | more)}"

    @property
    def url(self) -> str:
        return self.address()

    @property
    def all_reps(self) -> str:
        return self.with_(rep="").url

    @property
    def next(self) -> str:
        return replace(self, page=self.page + 1).url

    @property
    def previous(self) -> str:
        return replace(self, page=self.page - 1).url


def teams_for(organisation: Organisation, mine: Collection[int]) -> list[Team]:
    """The teams to choose from, those first (`own`) in which one of the owners `mine` is. One statement."""
    own = TeamMember.objects.filter(organisation=organisation, team=OuterRef("pk"), colleague__in=mine)
    return list(organisation.teams.filter(stale=False).annotate(own=Exists(own)).order_by("-own", "name", "pk"))


@dataclass(frozen=True)
class Frame:
    """Whose deals are reviewed, and since when changes are told. `last`: the review before the one that runs."""

    organisation: Organisation
    clock: Clock
    query: ReviewQuery
    running: Review | None
    last: Review | None
    since: datetime

    @property
    def is_first(self) -> bool:
        """Whether changes would be told since the last review, had there been one."""
        return self.query.period == LAST and self.last is None

    @property
    def deals(self) -> DealQuerySet:
        """Open deals, and those won or lost since then."""
        status = FieldChange.objects.filter(
            organisation=self.organisation, field="status", changed_at__gte=self.since
        ).values("deal")
        closed = Q(closed_at__range=(self.since, self.clock.now)) | Q(pk__in=status)
        watched = alert_settings.watched(alert_settings.draft_of(alert_settings.current(self.organisation)))
        deals = self.organisation.deals.filter(archived=False, deleted=False).filter(OPEN | closed).filter(watched)
        if self.query.team:
            members = TeamMember.objects.filter(organisation=self.organisation, team=self.query.team)
            deals = deals.filter(owner__in=members.values("colleague"))
        if self.query.rep:
            deals = deals.filter(owner=None if self.query.rep == NONE else int(self.query.rep))
        return deals


def frame_for(organisation: Organisation, query: ReviewQuery, clock: Clock) -> Frame:
    """One statement."""
    looked_at = Exists(ReviewedDeal.objects.filter(organisation=organisation, review=OuterRef("pk")))
    reviews = organisation.reviews.filter(Q(ended_at=None) | looked_at, team=query.team).select_related("held_by")
    found = list(reviews.order_by(F("ended_at").desc(nulls_first=True), "-pk")[:2])
    running = found.pop(0) if found and found[0].ended_at is None else None
    last = found[0] if found else None
    if query.period == LAST and last:
        since = last.began_at
    else:
        days = PERIODS.get(query.period, FIRST_DAYS)
        day = query.on or clock.today - timedelta(days=days)
        since = datetime.combine(day, time(), clock.zone)
    return Frame(organisation, clock, query, running, last, since)


# ---- Figures and deals per owner


@dataclass
class Figures:
    """Numbers of deals, and of alerts that came and went since then; amounts by currency. `own`: the organisation's."""

    own: str
    open: int = 0
    at_risk: int = 0
    came: int = 0
    went: int = 0
    won: int = 0
    lost: int = 0
    amounts: dict[str, Sum] = field(default_factory=dict)
    at_risk_amounts: dict[str, Sum] = field(default_factory=dict)
    won_amounts: dict[str, Decimal] = field(default_factory=dict)

    def add(self, other: "Figures") -> None:
        for name in ("open", "at_risk", "came", "went", "won", "lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, theirs in ((self.amounts, other.amounts), (self.at_risk_amounts, other.at_risk_amounts)):
            for currency, each in theirs.items():
                mine[currency] = mine.get(currency, Sum(currency)).plus(*each[1:])
        for currency, amount in other.won_amounts.items():
            self.won_amounts[currency] = self.won_amounts.get(currency, ZERO) + amount

    @property
    def sums(self) -> list[str]:
        """One sum when there is a rate for every currency, else one for each of them."""
        return self._told(self.amounts)

    @property
    def sums_at_risk(self) -> list[str]:
        return self._told(self.at_risk_amounts)

    def _told(self, sums: Mapping[str, Sum]) -> list[str]:
        if any(each.unvalued for each in sums.values()):
            return _each({currency: each.amount for currency, each in sums.items()})
        return told(sums.values(), self.own)

    @property
    def sums_won(self) -> list[str]:
        """In their own currencies: only open deals are converted."""
        return _each(self.won_amounts)

    @property
    def currencies(self) -> list[str]:
        """The open amount of each currency, where `sums` puts several together."""
        every = _each({currency: each.amount for currency, each in self.amounts.items()})
        return every if len(every) > len(self.sums) else []


def _each(amounts: Mapping[str, Decimal]) -> list[str]:
    largest = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))
    return [formats.money(amount, currency) for currency, amount in largest if amount]


@dataclass
class Part:
    """An owner's deals; nobody's if `owner` is None. `count`: of those to talk about, which changed or are at risk.

    `ids` and `quiet`: of the deals on this page, in order; `quiet_count`: how many have neither change nor alert.
    """

    owner: int | None
    name: str
    url: str  # of all these deals
    figures: Figures
    count: int = 0
    reviewed: int = 0
    quiet_count: int = 0
    ids: list[int] = field(default_factory=list)
    quiet: list[int] = field(default_factory=list)
    rows: "list[Row]" = field(default_factory=list)
    quiet_rows: "list[Row]" = field(default_factory=list)

    @property
    def key(self) -> str:
        return NONE if self.owner is None else str(self.owner)

    @property
    def more(self) -> int:
        return self.count - len(self.ids)

    @property
    def more_quiet(self) -> int:
        return self.quiet_count - len(self.quiet)


# `altered`: what the deal said before the first change since then, where it says something else now. `shifted`: alerts
# that stand now and did not then, or the reverse; those that are snoozed do not count as come (their bit is not set).
_DIFFERENCE = """
WITH deal AS MATERIALIZED ({deals}),
altered AS MATERIALIZED (
    SELECT c.deal_id, c.field, c.old FROM (
        SELECT DISTINCT ON (c.deal_id, c.field) c.deal_id, c.field, c.old
        FROM deal d JOIN deals_fieldchange c ON c.organisation_id = d.organisation_id AND c.deal_id = d.id
        WHERE c.changed_at >= %s ORDER BY c.deal_id, c.field, c.changed_at, c.id
    ) c JOIN deal d ON d.id = c.deal_id
    WHERE CASE c.field WHEN 'stage' THEN COALESCE(c.old, '') <> d.stage_ref
                       WHEN 'owner' THEN COALESCE(c.old, '') <> d.owner_ref
                       WHEN 'amount' THEN c.old::numeric IS DISTINCT FROM d.amount
                       WHEN 'close_on' THEN c.old::date IS DISTINCT FROM d.close_on
                       WHEN 'status' THEN c.old IS DISTINCT FROM d.status ELSE false END
), shifted AS MATERIALIZED (
    SELECT a.* FROM (
        SELECT a.deal_id, a.kind, a.subject, bool_or(a.resolved_at IS NULL) AS stands,
               bool_or(a.opened_at < %s) AS stood,
               (array_agg(a.reason ORDER BY a.resolved_at DESC NULLS LAST))[1] AS reason
        FROM deal d JOIN alerts_alert a ON a.organisation_id = d.organisation_id AND a.deal_id = d.id
        WHERE a.resolved_at IS NULL OR a.resolved_at >= %s GROUP BY a.deal_id, a.kind, a.subject
    ) a JOIN deal d ON d.id = a.deal_id
    WHERE a.stands <> a.stood AND d.status = 'open' AND (a.stood OR d.alert_mask & (%s::jsonb ->> a.kind)::int <> 0)
)
"""
_COLUMNS = (
    *("id", "organisation_id", "source_id", "owner_id", "currency", "amount", "alert_mask", "status", "created_at"),
    *("value", "stage_ref", "owner_ref", "close_on"),
)
_PARTS = (
    _DIFFERENCE
    + """
, told AS (
    SELECT d.*, d.status = 'open' AS is_open, s.came, s.went, m.id IS NOT NULL AS reviewed,
           d.alert_mask <> 0 OR d.status <> 'open' OR d.created_at >= %s OR a.deal_id IS NOT NULL
           OR s.deal_id IS NOT NULL OR m.id IS NOT NULL AS told
    FROM deal d
    LEFT JOIN (SELECT deal_id, count(*) FILTER (WHERE stands) AS came, count(*) FILTER (WHERE stood) AS went
               FROM shifted GROUP BY deal_id) s ON s.deal_id = d.id
    LEFT JOIN (SELECT DISTINCT deal_id FROM altered) a ON a.deal_id = d.id
    LEFT JOIN workplace_revieweddeal m
         ON m.organisation_id = d.organisation_id AND m.review_id = %s AND m.deal_id = d.id
)
SELECT owner_id, (SELECT o.name FROM deals_colleague o WHERE o.organisation_id = %s AND o.id = owner_id),
    GROUPING(currency) = 1, currency,
    count(*) FILTER (WHERE is_open), count(*) FILTER (WHERE is_open AND alert_mask <> 0),
    COALESCE(sum(came), 0)::int, COALESCE(sum(went), 0)::int,
    count(*) FILTER (WHERE status = 'won'), count(*) FILTER (WHERE status = 'lost'),
    {open}, {at_risk}, sum(amount) FILTER (WHERE status = 'won'),
    count(*) FILTER (WHERE told), count(*) FILTER (WHERE reviewed), count(*) FILTER (WHERE NOT told),
    (array_agg(id ORDER BY status <> 'open', alert_mask >> {shift} DESC, value DESC NULLS LAST, amount DESC NULLS LAST,
               id) FILTER (WHERE told))[%s:%s],
    (array_agg(id ORDER BY value DESC NULLS LAST, amount DESC NULLS LAST, id) FILTER (WHERE NOT told))[%s:%s]
FROM told GROUP BY GROUPING SETS ((owner_id, currency), (owner_id))
"""
)
# What changed on each deal, with the names of what the deal does not name itself: its earlier stage and owner, a role.
_TOLD = (
    _DIFFERENCE
    + """
SELECT c.deal_id, c.field, '', c.old, COALESCE(s.name, o.name, '') FROM altered c JOIN deal d ON d.id = c.deal_id
LEFT JOIN deals_stage s ON c.field = 'stage' AND s.organisation_id = d.organisation_id AND s.source_id = d.source_id
     AND s.external_id = c.old
LEFT JOIN deals_colleague o ON c.field = 'owner' AND o.organisation_id = d.organisation_id
     AND o.source_id = d.source_id AND o.external_id = c.old
UNION ALL
SELECT a.deal_id, CASE WHEN a.stands THEN 'came' ELSE a.reason END, a.subject, a.kind, COALESCE(r.label, a.subject)
FROM shifted a JOIN deal d ON d.id = a.deal_id
LEFT JOIN deals_role r ON r.organisation_id = d.organisation_id AND r.source_id = d.source_id AND r.key = a.subject
"""
)


def _read(frame: Frame, template: str, deals: QuerySet[Any], *more: Any) -> list[tuple[Any, ...]]:
    select, params = deals.order_by().values(*_COLUMNS).query.sql_with_params()
    since = frame.since
    with connection.cursor() as cursor:
        sums = {"open": sums_sql("is_open"), "at_risk": sums_sql("is_open AND alert_mask <> 0")}
        sql = template.format(deals=select, shift=COUNT_SHIFT, **sums)
        cursor.execute(sql, [*params, since, since, since, json.dumps(BITS), *more])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def parts(frame: Frame, mine: Collection[int] = (), first: int = 0, most: int | None = None) -> list[Part]:
    """By name, nobody's last; of the owners `mine` before the others. Two statements, however many deals.

    Each with the ids of `most` deals from the `first` (0) on; None: so many that a page of all owners stays readable.
    """
    until = first + (most if most is not None else 1_000_000)
    review = frame.running.pk if frame.running else None
    found: dict[int | None, Part] = {}
    more = (frame.since, review, frame.organisation.pk, first + 1, until, first + 1, until)
    own = frame.organisation.currency
    for owner, name, is_total, currency, *rest in _read(frame, _PARTS, frame.deals, *more):
        url = frame.query.with_(rep=NONE if owner is None else str(owner)).url
        part = found.setdefault(owner, Part(owner, name or "", url, Figures(own)))
        if is_total:
            part.count, part.reviewed, part.quiet_count = rest[15:18]
            part.ids, part.quiet = (ids or [] for ids in rest[18:])
            continue
        figures = Figures(own, *rest[:6])
        figures.amounts[currency] = Sum(currency).plus(*rest[6:10])
        figures.at_risk_amounts[currency] = Sum(currency).plus(*rest[10:14])
        figures.won_amounts |= {currency: rest[14]} if rest[14] else {}
        part.figures.add(figures)
    if most is None:
        of_each = min(OF_ONE, max(AT_LEAST, OF_ALL // max(1, len(found))))
        for part in found.values():
            del part.ids[of_each:], part.quiet[of_each:]
    return sorted(found.values(), key=lambda p: (p.owner is None, p.owner not in mine, p.name.casefold(), p.owner or 0))


def total(of: Iterable[Part], own: str) -> Figures:
    """Of all owners together."""
    figures = Figures(own)
    for part in of:
        figures.add(part.figures)
    return figures


# ---- One deal


@dataclass(frozen=True)
class Change:
    """Something that is not as it was: `label`, and where there is one, what it was and what it is."""

    icon: str
    label: str
    old: str = ""
    new: str = ""
    note: str = ""
    tone: str = ""  # "critical", "warning" or "good"


@dataclass
class Row:
    deal: Deal
    alerts: list[ShownAlert] = field(default_factory=list)
    came: set[str] = field(default_factory=set)  # titles of the alerts that are new
    changes: list[Change] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    reviewed: ReviewedDeal | None = None

    @property
    def name(self) -> str:
        deal = self.deal
        return (deal.company.name if deal.company else "") or deal.title or _("Untitled deal")

    @property
    def detail(self) -> str:
        return self.deal.title if self.deal.company and self.deal.company.name else ""

    @property
    def spoken(self) -> str:
        return wording.spoken(self.name, [alert.title for alert in self.alerts])

    @property
    def badges(self) -> list[ShownAlert]:
        """One icon a kind."""
        return list({alert.kind: alert for alert in self.alerts}.values())

    @property
    def fresh(self) -> set[str]:
        """Kinds of the alerts that are new."""
        return {alert.kind for alert in self.alerts if alert.title in self.came}


def add_rows(frame: Frame, of: Iterable[Part]) -> None:
    """Fill the rows of the parts. Six statements, however many deals."""
    shown = list(of)
    rows = rows_of(frame, [pk for part in shown for pk in (*part.ids, *part.quiet)])
    for part in shown:
        # A deal may vanish between two statements.
        part.rows = [rows[pk] for pk in part.ids if pk in rows]
        part.quiet_rows = [rows[pk] for pk in part.quiet if pk in rows]


def rows_of(frame: Frame, ids: Collection[int]) -> dict[int, Row]:
    """By deal, with alerts, changes, notes and marks."""
    organisation = frame.organisation
    deals = organisation.deals.among(ids)
    rows = {deal.pk: Row(deal) for deal in deals.for_list()}
    for pk, alerts in shown_alerts(organisation, [row.deal for row in rows.values()], frame.clock).items():
        rows[pk].alerts = alerts
    shifted: dict[tuple[int, str], dict[str, str]] = {}  # by deal and reason ("came" for new ones), {title: kind}
    for pk, what, subject, old, name in _read(frame, _TOLD, deals):
        if pk in rows and old in BY_KIND:
            title = wording.title(old, subject, Names(roles={subject: name}))
            shifted.setdefault((pk, what), {})[title] = old
        elif pk in rows:
            _tell(rows[pk], what, old, name, frame.clock)
    for (pk, what), kinds in shifted.items():
        _tell_alerts(rows[pk], what, kinds)
    for row in rows.values():
        _tell_rest(row, frame)
        row.changes.sort(key=lambda change: _ORDER.get(change.icon, 0))
    marks = ReviewedDeal.objects.filter(organisation=organisation, deal__in=rows).select_related("reviewed_by")
    for mark in marks.filter(review=frame.running) if frame.running else ():
        rows[mark.deal_id].reviewed = mark
    for pk, notes in of_deals(organisation, rows, NOTES_SHOWN).items():
        rows[pk].notes = notes
    return rows


# By icon: how the deal ended and what is at risk first.
_ORDER = {name: n for n, name in enumerate(("trophy", "ban", "flag", "bell", "milestone", "badge-euro"), -9)}


def _tell_alerts(row: Row, what: str, kinds: Mapping[str, str]) -> None:
    """Those that came, or went for the same reason, in one line."""
    order = {kind: (not BY_KIND[kind].critical, n) for n, kind in enumerate(BY_KIND)}
    titles = formats.join(sorted(kinds, key=lambda title: (order[kinds[title]], title)))
    if what == "came":
        row.came = set(kinds)
        tone = "critical" if any(BY_KIND[kind].critical for kind in kinds.values()) else "warning"
        row.changes.append(Change("bell", ngettext("New alert", "New alerts", len(kinds)), new=titles, tone=tone))
        return
    why = "" if what == Alert.Reason.FACT_CHANGED else str(Alert.Reason(what).label)
    label = ngettext("Resolved alert", "Resolved alerts", len(kinds))
    row.changes.append(Change("circle-check", label, new=titles, note=why, tone="good"))


def _tell(row: Row, what: str, old: str | None, name: str, clock: Clock) -> None:
    deal, today = row.deal, clock.today
    none = _("none")
    match what:
        case "stage":
            new = deal.stage.name if deal.stage else ""
            change = Change("milestone", _("Stage"), name or old or none, new or deal.stage_ref or none)
        case "owner":
            change = Change("user-round", _("Owner"), name or old or none, deal.owner.name if deal.owner else none)
        case "amount":
            before = formats.money(Decimal(old), deal.currency) if old else none
            now = formats.money(deal.amount, deal.currency) if deal.amount is not None else none
            change = Change("badge-euro", _("Amount"), before, now)
        case "close_on":
            was = date.fromisoformat(old) if old else None
            moved = (deal.close_on - was).days if deal.close_on and was else 0
            note = _("%(days)s later") if moved > 0 else _("%(days)s earlier")
            change = Change(
                "calendar-clock",
                _("Close date"),
                formats.day(was, today) if was else none,
                formats.day(deal.close_on, today) if deal.close_on else none,
                note % {"days": formats.days(abs(moved))} if moved else "",
            )
        case _status:
            return  # told by `_tell_rest`, also where no change was seen
    row.changes.append(change)


def _tell_rest(row: Row, frame: Frame) -> None:
    """What the deal says itself: won, lost, reopened, created."""
    deal, since, clock = row.deal, frame.since, frame.clock

    def seen(at: datetime | None) -> bool:
        return at is not None and since <= at <= clock.now

    def tell(icon: str, what: str, at: datetime | None, tone: str = "") -> None:
        if at is not None and seen(at):
            what = _("%(what)s on %(day)s") % {
                "what": what,
                "day": formats.day(at.astimezone(clock.zone).date(), clock.today),
            }
        row.changes.append(Change(icon, what, tone=tone))

    if deal.status == Deal.Status.WON:
        tell("trophy", _("Won"), deal.closed_at, "good")
    elif deal.status == Deal.Status.LOST:
        tell("ban", _("Lost"), deal.closed_at, "critical")
    elif seen(deal.reopened_at):
        tell("flag", _("Reopened"), deal.reopened_at)
    if seen(deal.created_at):
        tell("flag", _("Created"), deal.created_at)
