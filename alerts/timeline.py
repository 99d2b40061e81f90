"""What happened on a deal, newest first: interactions, who took part, what did not count and why; changes; alerts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from alerts import formats, wording
from alerts.models import Alert, Snooze
from alerts.rules import BY_KIND
from alerts.wording import Told, activity, capitalised, some, why_not
from deals.clock import Clock
from deals.models import Activity, Colleague, Deal, DealActivity, FieldChange, Participant, Stage

ATTEMPT = "phone-missed"
EXCHANGES, CHANGES, ALERTS = KINDS = ("exchanges", "changes", "alerts")
ICONS = {"call": "phone", "email": "mail", "message": "message-square", "meeting": "calendar-check"}


@dataclass(frozen=True)
class Entry:
    """`counts`: it is an interaction; `rejected` says why it is none; `left_out` who did not take part, and why.

    `ahead`: it has not happened yet. `activity`: its id, where it is one.
    """

    at: datetime
    icon: str
    title: str
    detail: str = ""
    rejected: str = ""
    left_out: tuple[str, ...] = ()
    counts: bool = False
    ahead: bool = False
    activity: int | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        return (*((self.rejected,) if self.rejected else ()), *self.left_out)


def timeline(
    deal: Deal,
    alerts: Iterable[Alert],
    snoozes: Iterable[Snooze],
    roles: Mapping[str, str],
    clock: Clock,
    limit: int,
    kind: str = "",
) -> tuple[list[Entry], bool]:
    """The newest `limit` entries, and whether there are more. Four or five statements.

    `alerts`, `snoozes`: at least those to which something happened last (deal_page). `roles`: labels of the roles that
    they may be about. `kind`: only entries of that kind, one of KINDS.
    """
    entries: list[Entry] = []
    if kind in ("", EXCHANGES):
        entries += _activities(deal, clock, limit + 1)
    if kind in ("", CHANGES):
        changes = FieldChange.objects.filter(organisation=deal.organisation_id, deal=deal)
        entries += _changes(deal, list(changes.order_by("-changed_at", "-pk")[: limit + 1]), clock)
        if deal.created_at:
            entries.append(Entry(deal.created_at, "flag", _("Deal created")))
    if kind in ("", ALERTS):
        names = wording.Names(roles=roles)
        entries += _alerts(alerts, names)
        entries += _snoozes(snoozes, names, clock)
    entries.sort(key=lambda entry: entry.at, reverse=True)
    return entries[:limit], len(entries) > limit


def _activities(deal: Deal, clock: Clock, limit: int) -> list[Entry]:
    people = Prefetch("activity__participants", Participant.objects.select_related("person").order_by("pk"))
    links = (
        DealActivity.objects.filter(organisation=deal.organisation_id, deal=deal, activity__deleted=False)
        .select_related("activity")
        .prefetch_related(people)
        .order_by("-occurred_at", "-pk")[:limit]
    )
    return [_activity(link.activity, link.occurred_at, clock) for link in links]


def _alerts(alerts: Iterable[Alert], names: wording.Names) -> Iterator[Entry]:
    for alert in alerts:
        icon, title = BY_KIND[alert.kind].icon, wording.title(alert.kind, alert.subject, names)
        yield Entry(alert.opened_at, icon, _("Alert opened: %(alert)s") % {"alert": title})
        if alert.resolved_at:
            reason = capitalised(alert.get_reason_display())
            yield Entry(alert.resolved_at, "circle-check", _("Alert resolved: %(alert)s") % {"alert": title}, reason)


def _snoozes(snoozes: Iterable[Snooze], names: wording.Names, clock: Clock) -> Iterator[Entry]:
    for each in snoozes:
        told = wording.snoozed(each.until_on, bool(each.state), clock.today)
        title = wording.title(each.kind, each.subject, names)
        yield Entry(
            each.created_at,
            "alarm-clock",
            _("%(alert)s: %(role)s") % {"alert": told, "role": title},
            _signed(each.reason, each.user),
        )
        if each.ended_at:
            if each.ended_by:
                why = str(each.ended_by)
            elif each.until_on and each.until_on <= each.ended_at.astimezone(clock.zone).date():
                why = _("Its date has come")
            elif each.state:
                why = _("The deal has changed")
            else:
                why = ""
            yield Entry(each.ended_at, "bell", _("Snooze ended: %(alert)s") % {"alert": title}, why)


def _signed(text: str, who: Any) -> str:
    return " · ".join(part for part in (str(who or ""), text) if part)


def _name(part: Participant) -> str:
    return (part.person.name if part.person else "") or part.name or part.address


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _activity(item: Activity, at: datetime, clock: Clock) -> Entry:
    parts = list(item.participants.all())
    external = [part for part in parts if not part.colleague]
    engaged = [part for part in external if part.engaged]
    ahead = at > clock.now
    shown = engaged or [part for part in external if part.part not in ("cc", "bcc") and not part.declined]
    told = Told(item.kind, _unique(map(_name, shown)), any(part.part == "from" for part in engaged))
    happened = item.state == "held" and not ahead and not item.internal
    left_out = _left_out(external)
    if happened and not engaged:
        left_out.append(_("counts as an interaction, but engages nobody"))
    return Entry(
        at=at,
        icon=ATTEMPT if item.state == "attempt" else ICONS.get(item.kind, "circle-dashed"),
        title=capitalised(activity(told)),
        detail=item.subject[:300],
        rejected=why_not(_rejection(item, ahead)),
        left_out=tuple(left_out),
        counts=happened,
        ahead=ahead,
        activity=item.pk,
    )


def _rejection(item: Activity, ahead: bool) -> str:
    """Why an activity is no interaction, as a code of `why_not`; empty when it is one."""
    if item.state not in ("held", "planned"):
        return item.state
    if item.internal:
        return "internal"
    if ahead:
        return "future"
    return "" if item.state == "held" else "never_done"


def _left_out(parts: list[Participant]) -> list[str]:
    copied = _unique(_name(part) for part in parts if part.part in ("cc", "bcc"))
    declined = _unique(_name(part) for part in parts if part.declined)
    return [
        capitalised(why_not(code, some(people)))
        for code, people in (("copied", copied), ("declined", declined))
        if people
    ]


def _changes(deal: Deal, changes: list[FieldChange], clock: Clock) -> list[Entry]:
    names = _names(deal, changes)
    return [_change(change, deal, names, clock) for change in changes]


def _names(deal: Deal, changes: list[FieldChange]) -> dict[tuple[str, str], str]:
    """Stages and owners that the changes speak of, by (field, the CRM's id)."""
    found: dict[tuple[str, str], str] = {}
    for field, model in (("stage", Stage), ("owner", Colleague)):
        refs = {ref for change in changes if change.field == field for ref in (change.old, change.new) if ref}
        if refs:
            rows: Any = model._default_manager.filter(
                organisation=deal.organisation_id, source=deal.source_id, external_id__in=refs
            )
            found |= {(field, ref): name for ref, name in rows.values_list("external_id", "name")}
    return found


def _change(change: FieldChange, deal: Deal, names: dict[tuple[str, str], str], clock: Clock) -> Entry:
    def shown(value: str | None) -> str:
        if not value:
            return _("none")
        match change.field:
            case "amount":
                return formats.money(Decimal(value), deal.currency)
            case "close_on":
                return formats.day(date.fromisoformat(value), clock.today)
            case "status":
                return str(dict(Deal.Status.choices).get(value, value))
        return names.get((change.field, value), value)

    pattern = {
        "stage": _("Stage changed from %(old)s to %(new)s"),
        "amount": _("Amount changed from %(old)s to %(new)s"),
        "close_on": _("Close date moved from %(old)s to %(new)s"),
        "status": _("Status changed from %(old)s to %(new)s"),
        "owner": _("Owner changed from %(old)s to %(new)s"),
    }.get(change.field, "%(old)s → %(new)s")
    icon = "milestone" if change.field == "stage" else "history"
    return Entry(change.changed_at, icon, pattern % {"old": shown(change.old), "new": shown(change.new)})
