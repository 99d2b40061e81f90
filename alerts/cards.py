"""The open alerts of some deals as hover cards show them: in sentences, in the reader's language."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from django.db import connection
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
from deals.models import Deal

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


# In SQL: to build it with the ORM took longer than to run it. At most one snooze of an alert lasts.
_NAMED = """
SELECT a.deal_id, a.kind, a.subject, s.id IS NOT NULL, s.until_on, s.state <> '', (
    SELECT min(r.label) FROM deals_role r WHERE r.organisation_id = %(org)s AND a.subject <> '' AND r.key = a.subject
)
FROM alerts_alert a
LEFT JOIN alerts_snooze s ON s.organisation_id = %(org)s AND s.deal_id = a.deal_id AND s.kind = a.kind
    AND s.subject = a.subject AND s.ended_at IS NULL
WHERE a.organisation_id = %(org)s AND a.deal_id = ANY(%(deals)s) AND a.resolved_at IS NULL
    AND (s.id IS NULL OR %(asleep)s)
"""


def named_alerts(
    organisation: Organisation, deals: Iterable[int], clock: Clock, *, asleep: bool = False
) -> dict[int, list[ShownAlert]]:
    """As `shown_alerts`, for deals (ids), without what is told of an alert beside its title. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(_NAMED, {"org": organisation.pk, "deals": list(deals), "asleep": asleep})
        rows = sorted(cursor.fetchall(), key=lambda row: (row[3], _ORDER[row[1]], row[2]))

    @cache  # one for many deals
    def shown(
        kind: str, subject: str, is_snoozed: bool, until_on: date | None, until_change: bool, role: str | None
    ) -> ShownAlert:
        until = wording.snoozed(until_on, until_change, clock.today) if is_snoozed else ""
        names = Names(roles={subject: role} if role else {})
        return ShownAlert(BY_KIND[kind], wording.title(kind, subject, names), "", "", None, (), until)

    found: dict[int, list[ShownAlert]] = {}
    for deal, *alert in rows:
        found.setdefault(deal, []).append(shown(*alert))
    return found


def _snoozed(organisation: Organisation, deals: Iterable[int], clock: Clock) -> dict[tuple[int, str, str], str]:
    """Until when, in words, by Case.key."""
    snoozes = Snooze.objects.filter(organisation=organisation, deal__in=deals, ended_at=None)
    return {
        (deal, kind, subject): wording.snoozed(until_on, bool(state), clock.today)
        for deal, kind, subject, until_on, state in snoozes.values_list("deal", "kind", "subject", "until_on", "state")
    }
