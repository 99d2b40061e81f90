"""What the deal list shows: tabs, facets with counts, totals per currency, rows. Six statements, however many rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Exists, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from alerts import formats, wording
from alerts import settings as alert_settings
from alerts.deal_query import PAGE_SIZE, SORTS, DealQuery
from alerts.evidence import names_for
from alerts.facets import Chip, Facet, Tab, alert_facet, count_alerts, group_deals, owner_facet, stage_facet, tabs_of
from alerts.facts import Case
from alerts.models import Alert, Pending, Run
from alerts.rules import BY_KIND, RULES
from deals.clock import Clock
from deals.models import Deal
from deals.querysets import DealQuerySet

ICONS_SHOWN, REJECTED_SHOWN = 5, 1
ZERO = Decimal(0)


@dataclass(frozen=True)
class Column:
    name: str
    label: str
    url: str = ""
    sorted: str = ""


@dataclass(frozen=True)
class Total:
    currency: str
    amount: Decimal
    at_risk: Decimal


@dataclass(frozen=True)
class ShownAlert:
    """An alert in the reader's language."""

    kind: str
    icon: str
    critical: bool
    title: str
    sentence: str
    since: str
    action: str
    rejected: list[str]

    @property
    def severity(self) -> str:
        return _("Critical") if self.critical else _("Warning")


@dataclass(frozen=True)
class Row:
    deal: Deal
    name: str
    detail: str
    overdue: bool
    alerts: list[ShownAlert]
    spoken: str

    @property
    def badges(self) -> list[ShownAlert]:
        """One icon a kind, at most five."""
        return list({alert.kind: alert for alert in self.alerts}.values())[:ICONS_SHOWN]

    @property
    def more(self) -> int:
        return max(0, len({alert.kind for alert in self.alerts}) - ICONS_SHOWN)


@dataclass
class DealList:
    query: DealQuery
    tabs: list[Tab]
    facets: list[Facet]
    totals: list[Total]
    count: int
    count_at_risk: int
    rows: list[Row] = field(default_factory=list)
    evaluated: str = ""

    @property
    def total_open(self) -> int:
        return self.tabs[0].count

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
    counts = count_alerts(deals, query, email)
    groups = group_deals(deals, query, email)
    facets = [alert_facet(query, counts), owner_facet(query, groups["owner"]), stage_facet(query, groups["stage"])]
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
    currencies = groups["currency"]
    found = DealList(
        query=query,
        tabs=tabs_of(query, counts),
        facets=facets,
        totals=[Total(row["label"], row["total"] or ZERO, row["total_at_risk"] or ZERO) for row in currencies],
        count=sum(row["n"] for row in currencies),
        count_at_risk=sum(row["n_at_risk"] for row in currencies),
    )
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
        found.query.ordered(deals.filter(pk__in=chosen).for_list()).annotate(
            evaluated_at=Subquery(runs.values("finished_at")[:1]),
            pending=Exists(Pending.objects.filter(organisation=organisation)),
        )
    )
    shown = shown_alerts(organisation, page, clock)
    found.rows = [_row(deal, shown.get(deal.pk, []), clock) for deal in page]
    found.evaluated = _evaluated(page[0], clock) if page else ""


def shown_alerts(organisation: Organisation, deals: Sequence[Deal], clock: Clock) -> dict[int, list[ShownAlert]]:
    """The open alerts of some deals, critical ones first, in sentences. Two statements."""
    by_pk = {deal.pk: deal for deal in deals}
    alerts = list(Alert.objects.filter(organisation=organisation, deal__in=by_pk, resolved_at=None))
    order = {rule.kind: (not rule.critical, n) for n, rule in enumerate(RULES)}
    alerts.sort(key=lambda alert: (order[alert.kind], alert.subject))
    cases = [Case.of(alert, by_pk[alert.deal_id]) for alert in alerts]
    names = names_for(organisation, cases, clock)
    found: dict[int, list[ShownAlert]] = {}
    for case in cases:
        rule = BY_KIND[case.kind]
        found.setdefault(case.deal.pk, []).append(
            ShownAlert(
                kind=case.kind,
                icon=rule.icon,
                critical=rule.critical,
                title=wording.title(case.kind, case.subject, names),
                sentence=wording.sentence(case, names, clock),
                since=wording.since(case, clock),
                action=str(rule.action),
                rejected=wording.rejections(case, names, clock, REJECTED_SHOWN),
            )
        )
    return found


def _row(deal: Deal, alerts: list[ShownAlert], clock: Clock) -> Row:
    company = deal.company.name if deal.company else ""
    name = company or deal.title or _("Untitled deal")
    return Row(
        deal=deal,
        name=name,
        detail=deal.title if company else "",
        overdue=deal.close_on is not None and deal.close_on < clock.today,
        alerts=alerts,
        spoken=wording.spoken(name, [alert.title for alert in alerts]),
    )


def _evaluated(deal: Any, clock: Clock) -> str:
    if deal.pending:
        return _("Alerts are being brought up to date.")
    moments: list[datetime] = [moment for moment in (deal.evaluated_at, deal.source.synced_at) if moment]
    return _("Alerts evaluated %(ago)s.") % {"ago": formats.time_apart(max(moments), clock.now)} if moments else ""
