"""The open alerts of some deals as hover cards show them: in sentences, in the reader's language."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from django.db.models import Min
from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.models import Organisation
from alerts import wording
from alerts.evidence import names_for
from alerts.facts import Case
from alerts.markup import fill
from alerts.models import Alert, Snooze
from alerts.rules import BY_KIND, RULES, Rule
from alerts.wording import Names
from deals.clock import Clock
from deals.models import Deal, Role

REJECTED_SHOWN = 1
_ORDER = {rule.kind: (not rule.critical, n) for n, rule in enumerate(RULES)}


@dataclass(frozen=True)
class ShownAlert:
    """`snoozed`: until when, in words; empty for one that is not."""

    rule: Rule
    title: str
    sentence: str
    since: str
    holds_since: date | None
    rejected: Sequence[str]
    snoozed: str = ""

    @property
    def kind(self) -> str:
        return self.rule.kind

    @property
    def spoken(self) -> str:
        return f"{self.title} ({self.snoozed})" if self.snoozed else self.title

    @property
    def badge(self) -> SafeString:
        return _badge(self.rule, bool(self.snoozed))

    @property
    def entry(self) -> SafeString:
        """Its part of the card."""
        facts = ((fact,) for fact in self.rejected)
        rejected = format_html_join("", '<p class="clip">{}</p>', facts) if self.rejected else ""
        texts = {"title": self.title, "sentence": self.sentence, "rejected": rejected, "since": self.since}
        return fill("alerts/entry.html", texts | {"snoozed": self.snoozed}, rule=self.rule)


@cache
def _badge(rule: Rule, asleep: bool) -> SafeString:
    """Without words: the same in every language."""
    return render_to_string("alerts/badge.html", {"rule": rule, "asleep": asleep})


def shown_alerts(
    organisation: Organisation, deals: Sequence[Deal], clock: Clock, *, asleep: bool = False
) -> dict[int, list[ShownAlert]]:
    """By deal, critical ones first; `asleep`: then those that are snoozed. Two statements, three with `asleep`."""
    by_pk = {deal.pk: deal for deal in deals}
    alerts = Alert.objects.filter(organisation=organisation, deal__in=by_pk, resolved_at=None)
    snoozed = _snoozed(organisation, by_pk, clock) if asleep else {}
    rows = (alerts if asleep else alerts.awake()).values_list("kind", "subject", "deal_id", "evidence", "holds_since")
    cases = [Case(kind, subject, by_pk[deal], *facts) for kind, subject, deal, *facts in rows]
    cases.sort(key=lambda case: (case.key in snoozed, _ORDER[case.kind], case.subject))
    names = names_for(organisation, cases, clock)
    found: dict[int, list[ShownAlert]] = {}
    for case in cases:
        found.setdefault(case.deal.pk, []).append(
            ShownAlert(
                rule=BY_KIND[case.kind],
                title=wording.title(case.kind, case.subject, names),
                sentence=wording.sentence(case, names, clock),
                since=wording.since(case, clock),
                holds_since=case.on,
                rejected=wording.rejections(case, names, clock, REJECTED_SHOWN),
                snoozed=snoozed.get(case.key, ""),
            )
        )
    return found


def named_alerts(
    organisation: Organisation, deals: Iterable[int], clock: Clock, *, asleep: bool = False
) -> dict[int, list[ShownAlert]]:
    """As `shown_alerts`, for deals (ids), without what is told of an alert beside its title. The same statements, less
    those for evidence, and one for the labels of roles where some are named."""
    alerts = Alert.objects.filter(organisation=organisation, deal__in=deals, resolved_at=None)
    snoozed = _snoozed(organisation, deals, clock) if asleep else {}
    rows = list((alerts if asleep else alerts.awake()).values_list("deal_id", "kind", "subject"))
    subjects = {subject for _deal, _kind, subject in rows} - {""}
    names = Names(roles=_labels(organisation, subjects) if subjects else {})
    rows.sort(key=lambda key: (key in snoozed, _ORDER[key[1]], key[2]))

    @cache  # one for many deals
    def shown(kind: str, subject: str, until: str) -> ShownAlert:
        return ShownAlert(BY_KIND[kind], wording.title(kind, subject, names), "", "", None, (), until)

    found: dict[int, list[ShownAlert]] = {}
    for deal, kind, subject in rows:
        found.setdefault(deal, []).append(shown(kind, subject, snoozed.get((deal, kind, subject), "")))
    return found


def _labels(organisation: Organisation, keys: Collection[str]) -> dict[str, str]:
    roles = Role.objects.filter(organisation=organisation, key__in=keys).order_by().values("key")
    return dict(roles.annotate(first=Min("label")).values_list("key", "first"))


def _snoozed(organisation: Organisation, deals: Iterable[int], clock: Clock) -> dict[tuple[int, str, str], str]:
    """Until when, in words, by Case.key."""
    snoozes = Snooze.objects.filter(organisation=organisation, deal__in=deals, ended_at=None)
    return {
        (deal, kind, subject): wording.snoozed(until_on, bool(state), clock.today)
        for deal, kind, subject, until_on, state in snoozes.values_list("deal", "kind", "subject", "until_on", "state")
    }
