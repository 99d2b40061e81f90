"""The open alerts of some deals as hover cards show them: in sentences, in the reader's language."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.models import Organisation
from alerts import wording
from alerts.evidence import names_for
from alerts.facts import Case
from alerts.markup import fill
from alerts.models import Alert
from alerts.rules import BY_KIND, RULES, Rule
from deals.clock import Clock
from deals.models import Deal

REJECTED_SHOWN = 1
_ORDER = {rule.kind: (not rule.critical, n) for n, rule in enumerate(RULES)}


@dataclass(frozen=True)
class ShownAlert:
    rule: Rule
    title: str
    sentence: str
    since: str
    rejected: Sequence[str]

    @property
    def kind(self) -> str:
        return self.rule.kind

    @property
    def badge(self) -> SafeString:
        return _badge(self.rule)

    @property
    def entry(self) -> SafeString:
        """Its part of the card."""
        facts = ((fact,) for fact in self.rejected)
        rejected = format_html_join("", '<p class="clip">{}</p>', facts) if self.rejected else ""
        texts = {"title": self.title, "sentence": self.sentence, "rejected": rejected, "since": self.since}
        return fill("alerts/entry.html", texts, rule=self.rule)


@cache
def _badge(rule: Rule) -> SafeString:
    """Without words: the same in every language."""
    return render_to_string("alerts/badge.html", {"rule": rule})


def shown_alerts(organisation: Organisation, deals: Sequence[Deal], clock: Clock) -> dict[int, list[ShownAlert]]:
    """By deal, critical ones first. Two statements."""
    by_pk = {deal.pk: deal for deal in deals}
    alerts = Alert.objects.filter(organisation=organisation, deal__in=by_pk, resolved_at=None)
    rows = alerts.values_list("kind", "subject", "deal_id", "evidence", "holds_since")
    cases = [Case(kind, subject, by_pk[deal], *facts) for kind, subject, deal, *facts in rows]
    cases.sort(key=lambda case: (_ORDER[case.kind], case.subject))
    names = names_for(organisation, cases, clock)
    found: dict[int, list[ShownAlert]] = {}
    for case in cases:
        found.setdefault(case.deal.pk, []).append(
            ShownAlert(
                rule=BY_KIND[case.kind],
                title=wording.title(case.kind, case.subject, names),
                sentence=wording.sentence(case, names, clock),
                since=wording.since(case, clock),
                rejected=wording.rejections(case, names, clock, REJECTED_SHOWN),
            )
        )
    return found
