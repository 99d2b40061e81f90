"""What the deal page shows beside the timeline: alerts with their evidence, every other rule's outcome, the people."""

from dataclasses import dataclass, replace
from datetime import date

from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts import formats, wording
from alerts.engine import verdicts
from alerts.evidence import NEWEST, names_for
from alerts.facts import Case, activities
from alerts.models import Alert
from alerts.rules import BY_KIND, RULES
from alerts.titles import reason
from deals.clock import Clock
from deals.models import Deal, DealContact, DealPerson, Role

HISTORY_SHOWN = 50


@dataclass(frozen=True)
class ActiveAlert:
    """`cited`: the ids of the activities that the sentence speaks of."""

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


@dataclass(frozen=True)
class Member:
    """A person of the deal. `level` is None without a job title; `last` says what the last interaction was."""

    name: str
    job_title: str
    level: int | None
    level_name: str
    level_why: str
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
    """What every rule says of the deal."""
    alerts = list(
        Alert.objects.filter(organisation=organisation, deal=deal).order_by("-resolved_at", "-pk")[: HISTORY_SHOWN * 2]
    )
    order = {rule.kind: (not rule.critical, n) for n, rule in enumerate(RULES)}
    active = sorted((a for a in alerts if a.resolved_at is None), key=lambda alert: (order[alert.kind], alert.subject))
    firing = [Case.of(alert, deal) for alert in active]
    found = verdicts(organisation, Deal.objects.filter(pk=deal.pk), clock, facts=True)
    judged = [(each, Case.judged(each, deal)) for _pk, of_deal in found for each in of_deal if each.outcome != "fires"]
    # Of alerts that are over, only the role is named.
    over = [replace(Case.of(alert, deal), facts={}) for alert in alerts if alert.resolved_at and alert.subject]
    names = names_for(organisation, [*firing, *(case for _verdict, case in judged), *over], clock)
    clear, unknown = [], []
    for each, case in judged:
        title, facts = wording.title(case.kind, case.subject, names), wording.sentence(case, names, clock)
        if each.outcome == "clear":
            clear.append(Judged(each.rule.icon, title, wording.margin(case, clock), facts))
        else:
            unknown.append(Judged(each.rule.icon, title, wording.unknown(each.reason), facts))
    return DealAlerts(
        active=[_active(alert, case, names, clock) for alert, case in zip(active, firing, strict=True)],
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


def _active(alert: Alert, case: Case, names: wording.Names, clock: Clock) -> ActiveAlert:
    rule = BY_KIND[alert.kind]
    return ActiveAlert(
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
    )


def deal_members(organisation: Organisation, deal: Deal) -> list[Member]:
    """Contacts of the deal and whoever was engaged on it, highest level first. Three statements."""
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
    labels = dict(Role.objects.filter(organisation=organisation).values_list("key", "label"))
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
