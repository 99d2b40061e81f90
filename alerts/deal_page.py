"""What the deal page shows beside the timeline: alerts with their evidence, every other rule's outcome, the people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import Organisation, User
from alerts import formats, wording
from alerts.engine import verdicts
from alerts.evidence import NEWEST, names_for
from alerts.facts import Case, activities
from alerts.feedback import Opinions, opinions
from alerts.models import Alert, Snooze
from alerts.power_map import Somebody
from alerts.rules import BY_KIND, RULES
from alerts.titles import reason
from deals.clock import Clock
from deals.models import Deal, DealContact, DealPerson, Role

HISTORY_SHOWN = 50
OPEN_AT_MOST = 100


@dataclass(frozen=True)
class Asleep:
    """A snooze that lasts: for how long, who did it and why."""

    told: str
    by: str
    reason: str


@dataclass(frozen=True)
class ActiveAlert:
    """`cited`: the ids of the activities that the sentence speaks of. `asleep`: None while it is shown in lists."""

    pk: int
    kind: str
    subject: str
    icon: str
    critical: bool
    title: str
    sentence: str
    action: str
    facts: list[tuple[str, str]]
    rejected: list[str]
    cited: list[int]
    opinions: Opinions
    asleep: Asleep | None

    @property
    def severity(self) -> str:
        return _("Critical") if self.critical else _("Warning")


@dataclass(frozen=True)
class Judged:
    """A rule that does not fire, with its margin or the reason why it could not be judged, and the facts behind it."""

    icon: str
    title: str
    text: str
    facts: str


@dataclass(frozen=True)
class PastAlert:
    icon: str
    title: str
    opened_on: date
    resolved_on: date
    reason: str
    opinions: Opinions


@dataclass(frozen=True)
class Member(Somebody):
    """A person of the deal. `level` is None without a job title; `last` says what the last interaction was."""

    job_title: str
    level_name: str
    level_why: str
    roles: str
    last: str
    of_deal: bool


@dataclass(frozen=True)
class OpenAlerts:
    active: list[ActiveAlert]
    asleep: list[ActiveAlert]


@dataclass(frozen=True)
class OtherRules:
    """`facts`: what was held against which limit, by kind of rule; of all that are judged."""

    clear: list[Judged]
    unknown: list[Judged]
    past: list[PastAlert]
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def history(organisation: Organisation, deal: Deal, most: int) -> tuple[list[Alert], list[Snooze]]:
    """Alerts and snoozes: all that are open, and the last `most` that are over. Two statements."""
    alerts, snoozes = _of(organisation, deal)
    # Nulls come first. A deal has a few rules and roles: there are never as many open alerts as that.
    return list(alerts[: most + OPEN_AT_MOST]), list(snoozes[: most + OPEN_AT_MOST])


def _of(organisation: Organisation, deal: Deal) -> tuple[QuerySet[Alert], QuerySet[Snooze]]:
    mine = {"organisation": organisation, "deal": deal}
    alerts = Alert.objects.filter(**mine).order_by("-resolved_at", "-pk")
    snoozes = Snooze.objects.filter(**mine).select_related("user", "ended_by").order_by("-ended_at", "-pk")
    return alerts, snoozes


def open_alerts(organisation: Organisation, deal: Deal, reader: User, clock: Clock) -> OpenAlerts:
    """What holds of the deal, with its evidence and what people say of it. Four statements."""
    alerts, snoozes = _of(organisation, deal)
    order = {rule.kind: (not rule.critical, n) for n, rule in enumerate(RULES)}
    found = sorted(alerts.filter(resolved_at=None), key=lambda alert: (order[alert.kind], alert.subject))
    cases = [Case.of(alert, deal) for alert in found]
    names = names_for(organisation, cases, clock)
    said = opinions(organisation, [alert.pk for alert in found], reader)
    asleep = _asleep(snoozes.filter(ended_at=None), clock)
    shown = [
        _active(alert, case, names, said.get(alert.pk, Opinions()), asleep.get((alert.kind, alert.subject)), clock)
        for alert, case in zip(found, cases, strict=True)
    ]
    return OpenAlerts([alert for alert in shown if not alert.asleep], [alert for alert in shown if alert.asleep])


def other_rules(
    organisation: Organisation, deal: Deal, alerts: Sequence[Alert], reader: User, clock: Clock
) -> OtherRules:
    """What every rule that does not fire says of the deal, and the alerts that are over. `alerts`: as of `history`."""
    over = [alert for alert in alerts if alert.resolved_at][:HISTORY_SHOWN]
    every = [
        each
        for _pk, of_deal in verdicts(organisation, Deal.objects.filter(pk=deal.pk), clock, facts=True)
        for each in of_deal
    ]
    judged = [(each, Case.judged(each, deal)) for each in every if each.outcome != "fires"]
    # Of alerts that are over, only the role is named.
    past = [replace(Case.of(alert, deal), facts={}) for alert in over if alert.subject]
    names = names_for(organisation, [*(case for _verdict, case in judged), *past], clock)
    clear, unknown = [], []
    for each, case in judged:
        title, facts = wording.title(case.kind, case.subject, names), wording.sentence(case, names, clock)
        if each.outcome == "clear":
            clear.append(Judged(each.rule.icon, title, wording.margin(case, clock), facts))
        else:
            unknown.append(Judged(each.rule.icon, title, wording.unknown(each.reason), facts))
    said = opinions(organisation, [alert.pk for alert in over], reader)
    return OtherRules(
        clear=clear,
        unknown=unknown,
        past=[
            PastAlert(
                icon=BY_KIND[alert.kind].icon,
                title=wording.title(alert.kind, alert.subject, names),
                opened_on=alert.opened_at.astimezone(clock.zone).date(),
                resolved_on=alert.resolved_at.astimezone(clock.zone).date(),
                reason=alert.get_reason_display(),
                opinions=said.get(alert.pk, Opinions()),
            )
            for alert in over
            if alert.resolved_at is not None
        ],
        facts={each.rule.kind: each.facts for each in every},
    )


def _asleep(snoozes: Iterable[Snooze], clock: Clock) -> dict[tuple[str, str], Asleep]:
    """The snoozes that last, by kind and subject."""
    return {
        (each.kind, each.subject): Asleep(
            wording.snoozed(each.until_on, bool(each.state), clock.today), str(each.user or ""), each.reason
        )
        for each in snoozes
        if each.ended_at is None
    }


def _active(
    alert: Alert, case: Case, names: wording.Names, said: Opinions, asleep: Asleep | None, clock: Clock
) -> ActiveAlert:
    rule = BY_KIND[alert.kind]
    return ActiveAlert(
        pk=alert.pk,
        kind=alert.kind,
        subject=alert.subject,
        icon=rule.icon,
        critical=rule.critical,
        title=wording.title(alert.kind, alert.subject, names),
        sentence=wording.sentence(case, names, clock),
        action=str(rule.action),
        facts=wording.measures(alert, case, names, clock),
        rejected=wording.rejections(case, names, clock, NEWEST),
        cited=sorted(activities([case])),
        opinions=said,
        asleep=asleep,
    )


def role_labels(organisation: Organisation) -> dict[str, str]:
    return dict(Role.objects.filter(organisation=organisation).values_list("key", "label"))


def deal_members(organisation: Organisation, deal: Deal, labels: Mapping[str, str]) -> list[Member]:
    """Contacts of the deal and whoever was engaged on it, highest level first. `labels`: of roles. Two statements."""
    engaged = {
        row.person_id: row
        for row in DealPerson.objects.filter(organisation=organisation, deal=deal).select_related(
            "person", "last_activity"
        )
    }
    contacts = (
        DealContact.objects.filter(organisation=organisation, deal=deal, contact__deleted=False)
        .select_related("contact__person")
        .order_by("-primary", "pk")
    )
    people = {pk: row.person for pk, row in engaged.items()}
    roles: dict[int, set[str]] = {}
    for link in contacts:
        assert link.contact is not None
        if link.contact.person is not None:
            people[link.contact.person.pk] = link.contact.person
            roles.setdefault(link.contact.person.pk, set()).update(link.roles, link.contact.person.roles)
    members = []
    for pk, person in people.items():
        row = engaged.get(pk)
        members.append(
            Member(
                name=person.name,
                job_title=person.job_title,
                level=person.level,
                level_name=wording.level(person.level) if person.level is not None else "",
                level_why=reason(person.level_rule) if person.job_title else "",
                roles=formats.join(sorted(labels.get(key, key) for key in roles.get(pk, ()))),
                last_on=row.last_on if row else None,
                last=wording.activity(wording.Told(row.last_activity.kind)) if row and row.last_activity else "",
                of_deal=pk in roles,
            )
        )
    members.sort(key=lambda m: (-(m.level or 0), m.last_on is None, -(m.last_on or date.min).toordinal(), m.name))
    return members
