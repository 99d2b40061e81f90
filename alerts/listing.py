"""What the deal list shows: tabs, facets with counts, totals, rows. As many statements for any number of rows.

An open page asks for what is not seen at once by itself (docs/adr/0012-the-deal-list.md); without scripts it is whole.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from django.db import connection
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from alerts import amounts, formats, saved_views, wording
from alerts.cards import ShownAlert, named_alerts, shown_alerts
from alerts.deal_query import FACETS, NONE, PAGE_SIZE, SORTS, DealQuery
from alerts.facets import (
    NAMED,
    Chip,
    Counts,
    Facet,
    Option,
    Overview,
    Tab,
    Total,
    bounds_of,
    companies_of,
    count_deals,
    facets_of,
    label_of,
    overview,
    tabs_of,
)
from alerts.freshness import Freshness, freshness
from alerts.markup import fill
from alerts.reader import Reader, ViewOf
from deals.clock import Clock
from deals.models import Deal
from deals.querysets import DealQuerySet

ICONS_SHOWN = 5
VIEWS_COUNTED = 12
# Facets whose values may cease to exist, and what is then said.
VANISHING = {
    "owner": gettext_lazy("This owner no longer exists; the filter was left out."),
    "team": gettext_lazy("This team no longer exists; the filter was left out."),
    "pipeline": gettext_lazy("This pipeline no longer exists; the filter was left out."),
    "stage": gettext_lazy("This stage no longer exists; the filter was left out."),
    "company": gettext_lazy("This company no longer exists; the filter was left out."),
}
UNSEEN = Overview({}, [], {}, pipelines=True)  # where nothing has a name to be asked for


@dataclass(frozen=True)
class Column:
    name: str
    label: str
    url: str = ""
    sorted: str = ""


class ShownDeal(NamedTuple):
    """What a row shows of a deal. `stage`, `owner`, `company`: their names, None without one."""

    pk: int
    title: str
    amount: Decimal | None
    currency: str
    value: Decimal | None
    close_on: date | None
    last_interaction_on: date | None
    owner_id: int | None
    stage: str | None
    owner: str | None
    company: str | None

    @classmethod
    def of(cls, deal: Deal) -> "ShownDeal":
        names = (getattr(of, "name", None) for of in (deal.stage, deal.owner, deal.company))
        return cls(*(getattr(deal, field) for field in cls._fields[:-3]), *names)


# In the order of `chosen`, which ends in ORDER BY; to build the joins with the ORM took as long as they take.
_SHOWN = """
SELECT d.id, d.title, d.amount, d.currency, d.value, d.close_on, d.last_interaction_on, d.owner_id,
       s.name, o.name, c.name
FROM (SELECT pk, row_number() OVER () AS place FROM ({chosen}) chosen) chosen
JOIN deals_deal d ON d.organisation_id = %s AND d.id = chosen.pk
LEFT JOIN deals_stage s ON s.organisation_id = %s AND s.id = d.stage_id
LEFT JOIN deals_colleague o ON o.organisation_id = %s AND o.id = d.owner_id
LEFT JOIN deals_company c ON c.organisation_id = %s AND c.id = d.company_id
ORDER BY chosen.place
"""


class DealPages(NamedTuple):
    """The addresses of deals' pages: that of a deal 0, and the list that leads there and is led back to."""

    path: str
    query: str

    def of(self, deal: int) -> str:
        return f"{self.path.removesuffix('0/')}{deal}/?{self.query}"


@dataclass(frozen=True)
class Row:
    deal: ShownDeal
    alerts: list[ShownAlert]
    today: date
    own: str  # the currency of the organisation
    page_of: DealPages
    evaluated: str
    is_whole: bool

    @property
    def badges(self) -> list[ShownAlert]:
        """One icon a kind, at most five; that of a snoozed alert only where no other of its kind is awake."""
        first: dict[str, ShownAlert] = {}
        for alert in self.alerts:
            first.setdefault(alert.kind, alert)
        return list(first.values())[:ICONS_SHOWN]

    @property
    def more(self) -> int:
        return max(0, len({alert.kind for alert in self.alerts}) - ICONS_SHOWN)

    @property
    def html(self) -> SafeString:
        deal, company, today = self.deal, self.deal.company or "", self.today
        owner, close, last = deal.owner or "", deal.close_on, deal.last_interaction_on
        name = company or deal.title or _("Untitled deal")
        texts = {
            "id": str(deal.pk),
            "address": self.page_of.of(deal.pk),
            "evaluated": self.evaluated,
            "name": name,
            "detail": deal.title if company else "",
            "entries": SafeString("".join(alert.entry for alert in self.alerts if self.is_whole)),
            "icons": SafeString("".join(alert.badge for alert in self.badges)),
            "more": f"+{self.more}" if self.more else "",
            "spoken": wording.spoken(name, [alert.spoken for alert in self.alerts]) if self.alerts else "",
            "amount": "" if deal.amount is None else formats.money(deal.amount, deal.currency),
            "value": amounts.converted(deal, self.own),
            "stage": deal.stage or "",
            "close": formats.day(close, today) if close else "",
            "close_date": close.isoformat() if close else "",
            "overdue": "overdue" if close and close < today else "",
            "last": formats.days_apart(last, today) if last else "",
            "last_day": formats.day(last, today) if last else "",
            "last_date": last.isoformat() if last else "",
            "owner": owner,
            "initials": formats.initials(owner),
            "tone": str(formats.tone(deal.owner_id)),
        }
        return fill("alerts/row.html", texts)


@dataclass
class DealList:
    query: DealQuery
    tabs: list[Tab]
    facets: list[Facet]
    totals: list[Total]
    own: str  # the currency of the organisation, in which sums are told
    fresh: Freshness
    rows: list[Row] = field(default_factory=list)
    is_whole: bool = True  # nothing is left for the page to ask for
    chips: list[Chip] = field(default_factory=list)
    saved: ViewOf | None = None  # the saved view that is open
    is_changed: bool = False  # it asks something else than is shown
    more: list[Tab] = field(default_factory=list)  # saved views for which there is no tab
    has_start: bool = False  # the reader's list opens with a saved view
    find: str = ""  # what the reader looks for among companies

    @property
    def wanted(self) -> str:
        """The address of what is not told yet."""
        pairs = [*self.query.params(), *(("deal", str(row.deal.pk)) for row in self.rows)]
        return f"{reverse('alerts:details')}?{urlencode(pairs)}"

    @property
    def total_open(self) -> int:
        return self.tabs[0].count or 0

    @cached_property
    def count(self) -> int:
        return sum(total.count for total in self.totals)

    @cached_property
    def count_at_risk(self) -> int:
        return sum(total.count_at_risk for total in self.totals)

    @property
    def noun(self) -> str:
        return ngettext("deal", "deals", self.count)

    @property
    def sums(self) -> list[str]:
        return amounts.told([total.sum for total in self.totals], self.own)

    @property
    def at_risk(self) -> str:
        """ "€2,833,769 at risk", then what has no rate; the number of deals when none of them has an amount."""
        if not self.count_at_risk:
            return ""
        sums = amounts.told([total.sum_at_risk for total in self.totals], self.own)
        first, *others = sums or [formats.number(self.count_at_risk)]
        return " · ".join([_("%(amount)s at risk") % {"amount": first}, *others])

    @property
    def spoken(self) -> str:
        """The result in one sentence, announced after every change."""
        count = ngettext("%(count)s deal", "%(count)s deals", self.count) % {"count": formats.number(self.count)}
        sums = formats.join(self.sums)
        risk = ngettext("%(count)s at risk", "%(count)s at risk", self.count_at_risk) % {
            "count": formats.number(self.count_at_risk)
        }
        return ", ".join(part for part in (count, sums, risk) if part) + "."

    @property
    def pages(self) -> int:
        return max(1, -(-self.count // PAGE_SIZE))

    @property
    def page(self) -> int:
        return self.query.page

    @property
    def previous(self) -> str:
        return self.query.with_(page=self.page - 1).url if self.page > 1 else ""

    @property
    def next(self) -> str:
        return self.query.with_(page=self.page + 1).url if self.page < self.pages else ""

    @cached_property
    def columns(self) -> list[Column]:
        labels = {
            "deal": _("Deal"),
            "alerts": _("Alerts"),
            "amount": _("Amount"),
            "stage": _("Stage"),
            "close": _("Close date"),
            "last": _("Last exchange"),
            "owner": _("Owner"),
        }
        return [self._column(name, label) for name, label in labels.items()]

    def _column(self, name: str, label: str) -> Column:
        key = "risk" if name == "alerts" else name
        if key not in SORTS:
            return Column(name, label)
        current = {f"-{key}": "descending", key: "ascending"}.get(self.query.sort, "")
        # The first click brings the direction that helps: most at risk, dearest, soonest to close, longest silent.
        first = f"-{key}" if key in ("risk", "amount") else key
        other = key if first.startswith("-") else f"-{key}"
        return Column(name, label, self.query.with_(sort=other if self.query.sort == first else first).url, current)


def deal_list(
    reader: Reader, query: DealQuery, clock: Clock, find: str = "", menus: Collection[str] | None = None
) -> DealList:
    """The answer to `query`. `find`: words in the names of companies that the reader wants to choose from.

    `menus`: the facets whose options are told; what else a page can ask for later (`details`) is then left out: the
    evidence of alerts and the counts of saved views. None: all of it.
    """
    deals = reader.open_deals
    asked = {view.pk: saved_views.query_of(view) for view in reader.views}
    shown = _with_tabs(asked, query)
    counted = shown if menus is None else [pk for pk in shown if pk == query.saved]
    seen = overview(query, reader, [asked[pk] for pk in counted])
    known = _known(query, seen, reader)
    if query.saved is not None and query.saved not in asked:
        known = replace(known, saved=None, refused=(*known.refused, _("This saved view no longer exists.")))
    if known != query:
        return deal_list(reader, known, clock, find, menus)

    facets = FACETS if menus is None else menus
    by_company = [query.with_(company=(value,)) for value in query.company] if "company" in facets else []
    views = counted if menus is None else []
    counts = count_deals(deals, query, reader, facets, [*by_company, *(asked[pk] for pk in views)])
    # What a view names and has vanished is left out when it is opened: it would find more than it was counted for.
    still = {pk: _known(asked[pk], seen, reader).text for pk in counted}
    count_of = dict(zip(views, counts.each[len(by_company) :], strict=True))
    count_of = {pk: count for pk, count in count_of.items() if still[pk] == asked[pk].text}
    tabs = {view.pk: _tab(view, asked[view.pk], query, count_of.get(view.pk)) for view in reader.views}
    companies: Iterable[Option] = ()
    if "company" in facets:
        companies = _companies(deals, query, reader, seen, counts, find, every=menus is not None)
    found = DealList(
        query,
        tabs_of(query, seen.views) + [tab for pk, tab in tabs.items() if pk in shown],
        facets_of(query, seen, reader, counts, facets, companies),
        seen.totals,
        reader.organisation.currency,
        freshness(reader.organisation, clock),
        is_whole=menus is None,
        chips=_chips(query, seen, reader),
        saved=next((view for view in reader.views if view.pk == query.saved), None),
        is_changed=query.saved is not None and still[query.saved] != query.text,
        more=[tab for pk, tab in tabs.items() if pk not in shown],
        has_start=any(view.is_start for view in reader.views),
        find=find,
    )
    if query.page > found.pages:
        sentence = _("There is no page %(page)s. This is the last one.") % {"page": formats.number(query.page)}
        found.query = query.with_(page=found.pages, refused=(*query.refused, sentence))
    if found.count:
        _add_rows(found, deals, reader, clock)
    return found


def menu(reader: Reader, query: DealQuery, name: str, find: str = "") -> Facet | None:
    """One facet with its options; None for one that is not offered."""
    deals, seen = reader.open_deals, UNSEEN
    by_company: list[DealQuery] = []
    companies: Iterable[Option] = ()
    if name == "company" and query.company:
        seen = overview(query, reader)
        query = _known(query, seen, reader)
        by_company = [query.with_(company=(value,)) for value in query.company]
    counts = count_deals(deals, query, reader, [name], by_company)
    if name == "company":
        companies = _companies(deals, query, reader, seen, counts, find, every=True)
    facets = facets_of(query, seen, reader, counts, [name], companies)
    return next((facet for facet in facets if facet.name == name), None)


@dataclass(frozen=True)
class Details:
    """What a page of the list asks for once it is shown: alerts by deal (ids), and the saved views' counts."""

    cards: list[tuple[int, list[ShownAlert]]]
    tabs: list[Tab]


def details(reader: Reader, query: DealQuery, deals: Collection[int], clock: Clock) -> Details:
    """For the deals (ids) of a page, those of others or closed ones left out."""
    asked = {view.pk: saved_views.query_of(view) for view in reader.views}
    shown = _with_tabs(asked, query)
    tabs = []
    if shown:
        questions = [asked[pk] for pk in shown]
        seen = UNSEEN
        if any(getattr(question, facet) for question in questions for facet in NAMED):
            seen = overview(DealQuery(), reader, questions)
        each = count_deals(reader.open_deals, DealQuery(), reader, (), questions).each
        views = {view.pk: view for view in reader.views}
        tabs = [
            _tab(views[pk], asked[pk], query, count)
            for pk, count in zip(shown, each, strict=True)
            if _known(asked[pk], seen, reader).text == asked[pk].text
        ]
    page = reader.open_deals.filter(pk__in=deals).select_related("stage", "owner", "company")
    alerts = shown_alerts(reader.organisation, list(page), clock, asleep=query.view == "snoozed")
    return Details(list(alerts.items()), tabs)


def _with_tabs(asked: Collection[int], query: DealQuery) -> list[int]:
    """The saved views (ids) that are counted: the one that is open first."""
    return sorted(asked, key=lambda pk: pk != query.saved)[:VIEWS_COUNTED]


def _chips(query: DealQuery, seen: Overview, reader: Reader) -> list[Chip]:
    chips = [
        (label_of(facet, value, seen, reader), query.without(facet, value))
        for facet in FACETS
        for value in getattr(query, facet)
    ]
    for facet, label in bounds_of(query, reader).items():
        chips.append((label, query.with_(**{f"{facet}_from": None, f"{facet}_to": None})))
    if query.q:
        chips.append((_("“%(text)s”") % {"text": query.q}, query.with_(q="")))
    return [Chip(label, _("Remove the filter %(label)s") % {"label": label}, query.url) for label, query in chips]


def _tab(view: ViewOf, asks: DealQuery, query: DealQuery, count: int | None) -> Tab:
    by = ""
    if not view.is_mine:
        by = _("Shared by %(name)s, who has left") if view.has_left else _("Shared by %(name)s")
    return Tab(view.name, asks.url, count, view.pk == query.saved, by and by % {"name": view.by}, view.pk)


def _companies(
    deals: DealQuerySet, query: DealQuery, reader: Reader, seen: Overview, counts: Counts, find: str, *, every: bool
) -> Iterable[Option]:
    """Those that are chosen, then those with the most deals whose name has the words of `find`, or of all if `every`.
    One statement where there is something to find."""
    each = zip(query.company, counts.each[: len(query.company)], strict=True)
    chosen = {value: Option(value, label_of("company", value, seen, reader), count, True) for value, count in each}
    found = {option.value: option for option in companies_of(deals, query, reader, find)} if find or every else {}
    return (chosen | found).values()


def _known(query: DealQuery, seen: Overview, reader: Reader) -> DealQuery:
    """Without what does not exist, or belongs to others: said, and left out."""
    teams = {str(team.pk) for team in reader.teams}
    for facet, sentence in VANISHING.items():
        if values := getattr(query, facet):
            offered = teams if facet == "team" else seen.names[facet]
            kept = tuple(value for value in values if value == NONE or value in offered)
            if kept != values:
                query = query.with_(page=query.page, refused=(*query.refused, str(sentence)), **{facet: kept})
    return query


def _add_rows(found: DealList, deals: DealQuerySet, reader: Reader, clock: Clock) -> None:
    organisation = reader.organisation
    start = (found.query.page - 1) * PAGE_SIZE
    # The fifty rows are chosen first: what follows is asked for them alone.
    chosen = found.query.ordered(deals.filter(found.query.matching(reader))).values("pk")[start : start + PAGE_SIZE]
    asleep = found.query.view == "snoozed"
    if found.is_whole:
        rows = found.query.ordered(organisation.deals.filter(pk__in=chosen))
        deals_of_page = list(rows.select_related("stage", "owner", "company"))
        page = [ShownDeal.of(deal) for deal in deals_of_page]
        shown = shown_alerts(organisation, deals_of_page, clock, asleep=asleep)
    else:
        sql, params = chosen.query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(_SHOWN.format(chosen=sql), [*params, *[organisation.pk] * 4])
            page = [ShownDeal(*row) for row in cursor.fetchall()]
        shown = named_alerts(organisation, [deal.pk for deal in page], clock, asleep=asleep)
    page_of = DealPages(reverse("alerts:deal", args=[0]), urlencode({"list": found.query.whole}))
    same = clock.today, organisation.currency, page_of, found.fresh.text, found.is_whole
    found.rows = [Row(deal, shown.get(deal.pk, []), *same) for deal in page]
