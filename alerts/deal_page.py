"""What the deal page shows beside the timeline: alerts with their evidence, every other rule's outcome, the people."""

from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts import formats, wording
from alerts.engine import verdicts
from alerts.evidence import names_for, told
from alerts.models import Alert
from alerts.rules import BY_KIND, RULES
from deals.clock import Clock
from deals.models import Deal, DealActivity, DealContact, DealPerson, Role

HISTORY_SHOWN = 50


@dataclass(frozen=True)
class ActiveAlert:
    kind: str
    icon: str
    critical: bool
    title: str
    sentence: str
    action: str
    facts: list[tuple[str, str]]

    @property
    def severity(self) -> str:
        return _("Critical") if self.critical else _("Warning")


@dataclass(frozen=True)
class Judged:
    """A rule that does not fire, with its margin or the reason why it could not be judged."""

    icon: str
    title: str
    text: str


@dataclass(frozen=True)
class PastAlert:
    icon: str
    title: str
    opened_on: date
    resolved_on: date
    reason: str


@dataclass(frozen=True)
class Member:
    """A person of the deal. `level` is None without a job title; `last` says what the last interaction was."""

    name: str
    job_title: str
    level: int | None
    level_name: str
    roles: str
    last_on: date | None
    last: str
    of_deal: bool


@dataclass(frozen=True)
class DealAlerts:
    active: list[ActiveAlert]
    clear: list[Judged]
    unknown: list[Judged]
    past: list[PastAlert]


def deal_alerts(organisation: Organisation, deal: Deal, clock: Clock) -> DealAlerts:
    alerts = list(
        Alert.objects.filter(organisation=organisation, deal=deal).order_by("-resolved_at", "-pk")[: HISTORY_SHOWN * 2]
    )
    judged = [each for _pk, found in verdicts(organisation, Deal.objects.filter(pk=deal.pk), clock) for each in found]
    subjects = {each.subject for each in judged} - {""}
    names = names_for(organisation, alerts, roles=subjects)
    order = {rule.kind: (not rule.critical, n) for n, rule in enumerate(RULES)}
    active = sorted((a for a in alerts if a.resolved_at is None), key=lambda alert: (order[alert.kind], alert.subject))
    attempts = _attempts(deal, clock) if any(alert.kind == "no_activity" for alert in active) else 0
    clear, unknown = [], []
    for each in judged:
        title = wording.title(each.rule.kind, each.subject, names)
        if each.outcome == "clear":
            clear.append(Judged(each.rule.icon, title, wording.margin(each.rule.kind, each.on, clock)))
        elif each.outcome == "unknown":
            unknown.append(Judged(each.rule.icon, title, wording.unknown(each.reason)))
    return DealAlerts(
        active=[_active(alert, deal, names, clock, attempts) for alert in active],
        clear=clear,
        unknown=unknown,
        past=[
            PastAlert(
                icon=BY_KIND[alert.kind].icon,
                title=wording.title(alert.kind, alert.subject, names),
                opened_on=alert.opened_at.astimezone(clock.zone).date(),
                resolved_on=alert.resolved_at.astimezone(clock.zone).date(),
                reason=alert.get_reason_display(),
            )
            for alert in alerts
            if alert.resolved_at is not None
        ][:HISTORY_SHOWN],
    )


def _active(alert: Alert, deal: Deal, names: wording.Names, clock: Clock, attempts: int) -> ActiveAlert:
    rule = BY_KIND[alert.kind]
    return ActiveAlert(
        kind=alert.kind,
        icon=rule.icon,
        critical=rule.critical,
        title=wording.title(alert.kind, alert.subject, names),
        sentence=wording.sentence(alert, deal, names, clock, attempts),
        action=str(rule.action),
        facts=wording.measures(alert, deal, clock),
    )


def _attempts(deal: Deal, clock: Clock) -> int:
    """Unanswered calls since the last interaction."""
    return DealActivity.objects.filter(
        organisation=deal.organisation_id,
        deal=deal,
        activity__state="attempt",
        activity__deleted=False,
        occurred_at__gt=deal.last_interaction_at or deal.created_at,
        occurred_at__lte=clock.now,
    ).count()


def deal_members(organisation: Organisation, deal: Deal) -> list[Member]:
    """Contacts of the deal and whoever was engaged on it, highest level first. Four statements."""
    engaged = {
        row.person_id: row
        for row in DealPerson.objects.filter(organisation=organisation, deal=deal).select_related("person")
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
    labels = dict(Role.objects.filter(organisation=organisation).values_list("key", "label"))
    what = told(organisation, [row.last_activity_id for row in engaged.values() if row.last_activity_id])
    members = []
    for pk, person in people.items():
        row = engaged.get(pk)
        kind = what.get(row.last_activity_id or 0) if row else None
        members.append(
            Member(
                name=person.name,
                job_title=person.job_title,
                level=person.level,
                level_name=wording.level(person.level) if person.level is not None else "",
                roles=formats.join(sorted(labels.get(key, key) for key in roles.get(pk, ()))),
                last_on=row.last_on if row else None,
                last=wording.activity(wording.Told(kind.kind)) if kind else "",
                of_deal=pk in roles,
            )
        )
    members.sort(key=lambda m: (-(m.level or 0), m.last_on is None, -(m.last_on or date.min).toordinal(), m.name))
    return members
