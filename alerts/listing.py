"""What the deal list shows: tabs, facets with counts, totals, rows. As many statements for any number of rows."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alerts import amounts, formats, saved_views, wording
from alerts.cards import ShownAlert, shown_alerts
from alerts.deal_query import NONE, PAGE_SIZE, SORTS, DealQuery
from alerts.facets import (
    Chip,
    Counts,
    Facet,
    Option,
    Tab,
    Total,
    companies_of,
    count_deals,
    facets_of,
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


@dataclass(frozen=True)
class Column:
    name: str
    label: str
    url: str = ""
    sorted: str = ""


@dataclass(frozen=True)
class Row:
    deal: Deal
    alerts: list[ShownAlert]
    today: date
    own: str  # the currency of the organisation
    query: str  # of the list, for the way back from the deal
    evaluated: str

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
        deal, company, today = self.deal, self.deal.company.name if self.deal.company else "", self.today
        owner, close, last = deal.owner.name if deal.owner else "", deal.close_on, deal.last_interaction_on
        name = company or deal.title or _("Untitled deal")
        texts = {
            "id": str(deal.pk),
            "address": f"{reverse('alerts:deal', args=[deal.pk])}?{self.query}",
            "evaluated": self.evaluated,
            "name": name,
            "detail": deal.title if company else "",
            "alerts": SafeString("".join(alert.entry for alert in self.alerts)),
            "icons": SafeString("".join(alert.badge for alert in self.badges)),
            "more": f"+{self.more}" if self.more else "",
            "spoken": wording.spoken(name, [alert.spoken for alert in self.alerts]) if self.alerts else "",
            "amount": "" if deal.amount is None else formats.money(deal.amount, deal.currency),
            "value": amounts.converted(deal, self.own),
            "stage": deal.stage.name if deal.stage else "",
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
    saved: ViewOf | None = None  # the saved view that is open
    is_changed: bool = False  # it asks something else than is shown
    more: list[Tab] = field(default_factory=list)  # saved views for which there is no tab
    has_start: bool = False  # the reader's list opens with a saved view
    find: str = ""  # what the reader looks for among companies

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

    @property
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

    @property
    def chips(self) -> list[Chip]:
        chips = []
        for facet in self.facets:
            chips += [(each.label, self.query.without(facet.name, each.value)) for each in facet.options if each.chosen]
            if facet.bounds and facet.bounds.chip:
                unbound = {f"{facet.name}_from": None, f"{facet.name}_to": None}
                chips.append((facet.bounds.chip, self.query.with_(**unbound)))
        if self.query.q:
            chips.append((_("“%(text)s”") % {"text": self.query.q}, self.query.with_(q="")))
        return [Chip(label, _("Remove the filter %(label)s") % {"label": label}, query.url) for label, query in chips]


def deal_list(reader: Reader, query: DealQuery, clock: Clock, find: str = "") -> DealList:
    """The answer to `query`. `find`: words in the names of companies that the reader wants to choose from."""
    deals = reader.open_deals
    asked = {view.pk: saved_views.query_of(view) for view in reader.views}
    # With a tab: the view that is open, then as many as are counted.
    shown = sorted(asked, key=lambda pk: pk != query.saved)[:VIEWS_COUNTED]
    by_company = [query.with_(company=(value,)) for value in query.company]
    counts = count_deals(deals, query, reader, [*(asked[pk] for pk in shown), *by_company])
    known = _known(query, counts, reader)
    if query.saved is not None and query.saved not in asked:
        known = replace(known, saved=None, refused=(*known.refused, _("This saved view no longer exists.")))
    if known != query:
        return deal_list(reader, known, clock, find)

    count_of = dict(zip(shown, counts.each, strict=False))
    # What a view names and has vanished is left out when it is opened: it would find more than it was counted for.
    still = {pk: _known(asked[pk], counts, reader).text for pk in shown}
    count_of = {pk: count for pk, count in count_of.items() if still[pk] == asked[pk].text}
    tabs = {view.pk: _tab(view, asked[view.pk], query, count_of.get(view.pk)) for view in reader.views}
    found = DealList(
        query,
        tabs_of(query, counts.views) + [tab for pk, tab in tabs.items() if pk in still],
        facets_of(query, counts, reader, _companies(deals, query, reader, counts, find)),
        counts.totals,
        reader.organisation.currency,
        freshness(reader.organisation, clock),
        saved=next((view for view in reader.views if view.pk == query.saved), None),
        is_changed=query.saved is not None and still[query.saved] != query.text,
        more=[tab for pk, tab in tabs.items() if pk not in still],
        has_start=any(view.is_start for view in reader.views),
        find=find,
    )
    if query.page > found.pages:
        sentence = _("There is no page %(page)s. This is the last one.") % {"page": formats.number(query.page)}
        found.query = query.with_(page=found.pages, refused=(*query.refused, sentence))
    if found.count:
        _add_rows(found, deals, reader, clock)
    return found


def _tab(view: ViewOf, asks: DealQuery, query: DealQuery, count: int | None) -> Tab:
    by = ""
    if not view.is_mine:
        by = _("Shared by %(name)s, who has left") if view.has_left else _("Shared by %(name)s")
    return Tab(view.name, asks.url, count, view.pk == query.saved, by and by % {"name": view.by})


def _companies(deals: DealQuerySet, query: DealQuery, reader: Reader, counts: Counts, find: str) -> Iterable[Option]:
    """Those that are chosen, then those whose name has the words of `find`; one statement if there are any."""
    each = counts.each[len(counts.each) - len(query.company) :]
    chosen = {
        value: Option(value, counts.places["company"][value].label, count, True)
        for value, count in zip(query.company, each, strict=True)
    }
    found = {option.value: option for option in companies_of(deals, query, reader, find)} if find else {}
    return (chosen | found).values()


def _known(query: DealQuery, counts: Counts, reader: Reader) -> DealQuery:
    """Without what does not exist, or belongs to others: said, and left out."""
    sentences = {
        "owner": _("This owner no longer exists; the filter was left out."),
        "team": _("This team no longer exists; the filter was left out."),
        "pipeline": _("This pipeline no longer exists; the filter was left out."),
        "stage": _("This stage no longer exists; the filter was left out."),
        "company": _("This company no longer exists; the filter was left out."),
    }
    teams = {str(team.pk) for team in reader.teams}
    for facet, sentence in sentences.items():
        offered = {NONE, *(teams if facet == "team" else counts.places[facet])}
        values = getattr(query, facet)
        if not offered.issuperset(values):
            kept = tuple(value for value in values if value in offered)
            query = query.with_(page=query.page, refused=(*query.refused, sentence), **{facet: kept})
    return query


def _add_rows(found: DealList, deals: DealQuerySet, reader: Reader, clock: Clock) -> None:
    organisation = reader.organisation
    start = (found.query.page - 1) * PAGE_SIZE
    # The fifty rows are chosen first: what follows is asked for them alone.
    chosen = found.query.ordered(deals.filter(found.query.matching(reader))).values("pk")[start : start + PAGE_SIZE]
    page = list(
        found.query.ordered(organisation.deals.filter(pk__in=chosen).select_related("stage", "owner", "company"))
    )
    shown = shown_alerts(organisation, page, clock, asleep=found.query.view == "snoozed")
    same = clock.today, organisation.currency, urlencode({"list": found.query.whole}), found.fresh.text
    found.rows = [Row(deal, shown.get(deal.pk, []), *same) for deal in page]
