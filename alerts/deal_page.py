"""What the deal page shows beside the timeline: alerts with their evidence, every other rule's outcome, the people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts import formats, wording
from alerts.engine import verdicts
from alerts.evidence import names_for, told
from alerts.models import Alert
from alerts.rules import BY_KIND, RULES
from alerts.timeline import ATTEMPT, Entry
from deals.clock import Clock
from deals.models import Deal, DealContact, DealPerson, Role

HISTORY_SHOWN = 50
REJECTED_SHOWN = 3


@dataclass(frozen=True)
class ActiveAlert:
    kind: str
    icon: str
    critical: bool
    title: str
    sentence: str
    action: str
    facts: list[tuple[str, str]]
    rejected: list[str]

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


def deal_alerts(organisation: Organisation, deal: Deal, entries: Sequence[Entry], clock: Clock) -> DealAlerts:
    """What every rule says of the deal; `entries` of its timeline tell what was rejected."""
    alerts = list(
        Alert.objects.filter(organisation=organisation, deal=deal).order_by("-resolved_at", "-pk")[: HISTORY_SHOWN * 2]
    )
    judged = [each for _pk, found in verdicts(organisation, Deal.objects.filter(pk=deal.pk), clock) for each in found]
    subjects = {each.subject for each in judged} - {""}
    names = names_for(organisation, alerts, roles=subjects)
    order = {rule.kind: (not rule.critical, n) for n, rule in enumerate(RULES)}
    active = sorted((a for a in alerts if a.resolved_at is None), key=lambda alert: (order[alert.kind], alert.subject))
    clear, unknown = [], []
    for each in judged:
        title = wording.title(each.rule.kind, each.subject, names)
        if each.outcome == "clear":
            clear.append(Judged(each.rule.icon, title, wording.margin(each.rule.kind, each.on, deal, clock)))
        elif each.outcome == "unknown":
            unknown.append(Judged(each.rule.icon, title, wording.unknown(each.reason)))
    return DealAlerts(
        active=[_active(alert, deal, names, entries, clock) for alert in active],
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


def _active(alert: Alert, deal: Deal, names: wording.Names, entries: Sequence[Entry], clock: Clock) -> ActiveAlert:
    rule = BY_KIND[alert.kind]
    after = deal.last_interaction_at or deal.created_at
    attempts = sum(entry.icon == ATTEMPT for entry in entries if entry.at > after)
    return ActiveAlert(
        kind=alert.kind,
        icon=rule.icon,
        critical=rule.critical,
        title=wording.title(alert.kind, alert.subject, names),
        sentence=wording.sentence(alert, deal, names, clock, attempts),
        action=str(rule.action),
        facts=wording.measures(alert, deal, clock),
        rejected=_rejected(alert, deal, entries, clock)[:REJECTED_SHOWN],
    )


def _rejected(alert: Alert, deal: Deal, entries: Sequence[Entry], clock: Clock) -> list[str]:
    """Facts that look as if they spoke against the alert, and why they do not: the newest ones."""
    match alert.kind:
        case "no_activity":  # what came after the last interaction, and was none
            after = deal.last_interaction_at or deal.created_at
            return [_told(e, e.rejected, clock) for e in entries if e.rejected and after < e.at <= clock.now]
        case "key_role" | "power_map" | "single_contact":  # who was there without being engaged
            return [_told(e, "; ".join(e.left_out), clock) for e in entries if e.left_out and not e.ahead]
    return []


def _told(entry: Entry, why: str, clock: Clock) -> str:
    on = formats.day(entry.at.astimezone(clock.zone).date(), clock.today)
    return _("%(what)s on %(day)s: %(why)s") % {"what": entry.title, "day": on, "why": why}


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
