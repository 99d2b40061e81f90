"""What the deal list shows: tabs, facets with counts, totals per currency, rows. Five statements, however many rows."""

from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

from django.db.models import Exists, F, Subquery
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from alerts import formats, wording
from alerts import settings as alert_settings
from alerts.cards import ShownAlert, shown_alerts
from alerts.deal_query import PAGE_SIZE, SORTS, DealQuery
from alerts.facets import Chip, Facet, Tab, Total, alert_facet, count_deals, owner_facet, stage_facet, tabs_of
from alerts.markup import fill
from alerts.models import Pending, Run
from deals.clock import Clock
from deals.models import Deal
from deals.querysets import DealQuerySet

ICONS_SHOWN = 5


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

    @property
    def badges(self) -> list[ShownAlert]:
        """One icon a kind, at most five."""
        return list({alert.kind: alert for alert in self.alerts}.values())[:ICONS_SHOWN]

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
            "address": reverse("alerts:deal", args=[deal.pk]),
            "name": name,
            "detail": deal.title if company else "",
            "alerts": SafeString("".join(alert.entry for alert in self.alerts)),
            "icons": SafeString("".join(alert.badge for alert in self.badges)),
            "more": f"+{self.more}" if self.more else "",
            "spoken": wording.spoken(name, [alert.title for alert in self.alerts]) if self.alerts else "",
            "amount": "" if deal.amount is None else formats.money(deal.amount, deal.currency),
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
    rows: list[Row] = field(default_factory=list)
    evaluated: str = ""

    @property
    def total_open(self) -> int:
        return self.tabs[0].count

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
    def sums(self) -> list[Total]:
        return [total for total in self.totals if total.amount]

    @property
    def at_risk(self) -> str:
        """ "€2,833,769 at risk"; the number of deals when none of them has an amount."""
        if not self.count_at_risk:
            return ""
        sums = [formats.money(total.at_risk, total.currency) for total in self.totals if total.at_risk]
        return _("%(amount)s at risk") % {"amount": " · ".join(sums) or formats.number(self.count_at_risk)}

    @property
    def spoken(self) -> str:
        """The result in one sentence, announced after every change."""
        count = ngettext("%(count)s deal", "%(count)s deals", self.count) % {"count": formats.number(self.count)}
        sums = formats.join([formats.money(total.amount, total.currency) for total in self.sums])
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
        chosen = [(facet.name, option) for facet in self.facets for option in facet.options if option.chosen]
        chips = [(option.label, self.query.without(name, option.value)) for name, option in chosen]
        if self.query.q:
            chips.append((_("“%(text)s”") % {"text": self.query.q}, self.query.with_(q="")))
        return [Chip(label, _("Remove the filter %(label)s") % {"label": label}, query.url) for label, query in chips]


def deal_list(organisation: Organisation, email: str, query: DealQuery, clock: Clock) -> DealList:
    """The answer to `query` for the reader with that e-mail address."""
    deals = alert_settings.open_deals(organisation)
    counts = count_deals(organisation, deals, query, email)
    facets = [alert_facet(query, counts.kinds), owner_facet(query, counts.owners), stage_facet(query, counts.stages)]
    # An owner or stage without open deals, of whoever: said, and left out.
    known = query
    for facet, sentence in (
        (facets[1], _("This owner has no open deal; the filter was left out.")),
        (facets[2], _("No open deal is in this stage; the filter was left out.")),
    ):
        offered = {option.value for option in facet.options}
        kept = tuple(value for value in getattr(known, facet.name) if value in offered)
        if kept != getattr(known, facet.name):
            known = known.with_(**{facet.name: kept}, refused=(*known.refused, sentence), page=known.page)
    if known != query:
        return deal_list(organisation, email, known, clock)
    found = DealList(query, tabs_of(query, counts.views), facets, counts.totals)
    if query.page > found.pages:
        sentence = _("There is no page %(page)s. This is the last one.") % {"page": formats.number(query.page)}
        found.query = query.with_(page=found.pages, refused=(*query.refused, sentence))
    if found.count:
        _add_rows(found, organisation, deals, email, clock)
    return found


def _add_rows(found: DealList, organisation: Organisation, deals: DealQuerySet, email: str, clock: Clock) -> None:
    runs = Run.objects.filter(organisation=organisation, finished_at__isnull=False).order_by("-finished_at")
    start = (found.query.page - 1) * PAGE_SIZE
    # The fifty rows are chosen first: what follows is asked for them alone.
    chosen = found.query.ordered(deals.filter(found.query.matching(email))).values("pk")[start : start + PAGE_SIZE]
    page = list(
        found.query.ordered(
            organisation.deals.filter(pk__in=chosen).select_related("stage", "owner", "company")
        ).annotate(
            synced_at=F("source__synced_at"),
            evaluated_at=Subquery(runs.values("finished_at")[:1]),
            pending=Exists(Pending.objects.filter(organisation=organisation)),
        )
    )
    shown = shown_alerts(organisation, page, clock)
    found.rows = [Row(deal, shown.get(deal.pk, []), clock.today) for deal in page]
    found.evaluated = _evaluated(page[0], clock) if page else ""


def _evaluated(deal: Any, clock: Clock) -> str:
    if deal.pending:
        return _("Alerts are being brought up to date.")
    moments: list[datetime] = [moment for moment in (deal.evaluated_at, deal.synced_at) if moment]
    return _("Alerts evaluated %(ago)s.") % {"ago": formats.time_apart(max(moments), clock.now)} if moments else ""
