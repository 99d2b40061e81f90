"""Every sentence about alerts, made when it is shown: from the kind and the stored facts, in the reader's language.

Facts are dates and ids; names come with `Names` (alerts.evidence), ages from the clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from alerts.formats import day, days, days_apart, join, number
from alerts.models import Alert
from alerts.rules import BY_KIND
from alerts.rules.power_map import LEVELS
from deals.clock import Clock
from deals.models import Deal


@dataclass(frozen=True)
class Told:
    """What an activity was: its kind, who was engaged, and whether they wrote it."""

    kind: str
    people: tuple[str, ...] = ()
    incoming: bool = False


@dataclass(frozen=True)
class Names:
    """What the ids in evidence stand for; an id that is gone is left out of the sentence."""

    activities: Mapping[int, Told] = field(default_factory=dict)
    people: Mapping[int, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)

    def activity(self, pk: int | None) -> str:
        told = self.activities.get(pk or 0)
        return activity(told) if told else _("interaction")

    def person(self, pk: int | None) -> str:
        return self.people.get(pk or 0) or _("somebody unknown")

    def role(self, key: str) -> str:
        return self.roles.get(key, key)


def activity(told: Told) -> str:
    """ "call with Ana Ruiz", "e-mail from Ana Ruiz", "meeting"."""
    kinds = {"call": _("call"), "email": _("e-mail"), "message": _("message"), "meeting": _("meeting")}
    what = kinds.get(told.kind, _("interaction"))
    if not told.people:
        return what
    if told.kind in ("email", "message"):
        pattern = _("%(what)s from %(people)s") if told.incoming else _("%(what)s to %(people)s")
    else:
        pattern = _("%(what)s with %(people)s")
    people = list(told.people)
    if len(people) > 3:
        rest = len(people) - 2
        others = ngettext("%(count)s other", "%(count)s others", rest) % {"count": number(rest)}
        people = [*people[:2], others]
    return pattern % {"what": what, "people": join(people)}


def title(kind: str, subject: str, names: Names) -> str:
    """The alert's name, with the role where it is about one."""
    name = str(BY_KIND[kind].title)
    return _("%(alert)s: %(role)s") % {"alert": name, "role": names.role(subject)} if subject else name


def level(value: int | None) -> str:
    return str(dict(LEVELS).get(value or 0, pgettext("level of a job title", "none")))


def days_ago(count: int) -> str:
    match count:
        case 0:
            return _("today")
        case 1:
            return _("yesterday")
    return ngettext("%(count)s day ago", "%(count)s days ago", count) % {"count": number(count)}


@dataclass(frozen=True)
class _Case:
    """An alert with all that its sentence may need."""

    facts: Mapping[str, Any]
    deal: Deal
    names: Names
    clock: Clock
    subject: str
    attempts: int

    def when(self, name: str) -> date | None:
        value = self.facts.get(name)
        return date.fromisoformat(value) if value else None

    def age(self, value: date) -> int:
        return (self.clock.today - value).days

    def fill(self, pattern: str, on: date | None = None, **values: Any) -> str:
        """`pattern` with the day, its distance in days and the limit filled in."""
        if on:
            values |= {"day": day(on, self.clock.today), "ago": days_ago(self.age(on)), "for": days(self.age(on))}
        if self.facts.get("limit") is not None:
            values["limit"] = days(self.facts["limit"])
        return pattern % values


def _no_activity(case: _Case) -> str:
    since, last = case.when("since"), case.when("last_on")
    if last and since == last:
        what = case.names.activity(case.facts.get("activity"))
        text = case.fill(_("Last interaction: %(what)s on %(day)s, %(ago)s (limit: %(limit)s)."), last, what=what)
    elif since and since == case.when("reopened_on"):
        text = case.fill(_("No interaction since the deal was reopened on %(day)s, %(ago)s (limit: %(limit)s)."), since)
    else:
        text = case.fill(_("No interaction since the deal was created on %(day)s, %(ago)s (limit: %(limit)s)."), since)
    if case.attempts:
        calls = ngettext("%(count)s unanswered call since.", "%(count)s unanswered calls since.", case.attempts)
        text += " " + calls % {"count": number(case.attempts)}
    return text


def _no_meeting(case: _Case) -> str:
    planned = case.when("planned_on")
    if planned is None:
        return _("No meeting or call has ever been put in the calendar.")
    what = case.names.activity(case.facts.get("activity"))
    text = _("Nothing lies ahead since the last one planned: %(what)s on %(day)s, %(ago)s.")
    return case.fill(text, planned, what=what)


def _single_contact(case: _Case) -> str:
    count, since = case.facts["count"], case.when("since")
    text = ngettext(
        "The last %(count)s interaction was with %(person)s, since %(day)s: %(for)s (limit: %(limit)s).",
        "The last %(count)s interactions were all with %(person)s, since %(day)s: %(for)s (limit: %(limit)s).",
        count,
    )
    created = case.deal.created_on
    start = max(since, created) if since and created else since
    return case.fill(text, start, count=number(count), person=case.names.person(case.facts.get("person")))


def _key_role(case: _Case) -> str:
    holders = join([case.names.person(pk) for pk in case.facts.get("holders") or []])
    values = {"role": case.names.role(case.subject), "people": holders}
    if last := case.when("last_on"):
        what = case.names.activity(case.facts.get("activity"))
        text = _("%(role)s (%(people)s): last interaction on %(day)s, %(ago)s, %(what)s (limit: %(limit)s).")
        return case.fill(text, last, what=what, **values)
    text = _("%(role)s (%(people)s): no interaction yet; role known since %(day)s, %(ago)s (limit: %(limit)s).")
    return case.fill(text, case.when("held_since_on"), **values)


def _power_map(case: _Case) -> str:
    close = case.when("close_on")
    assert close is not None
    ahead = -case.age(close)
    if ahead < 0:
        when = case.fill(_("The close date passed on %(day)s, %(ago)s"), close)
    elif ahead == 0:
        when = _("The deal closes today")
    else:
        when = case.fill(_("The deal closes on %(day)s, %(away)s"), close, away=days_apart(close, case.clock.today))
    if not case.facts["engaged"]:
        text = _("%(when)s, and nobody has been engaged yet (expected: %(level)s or above).")
    elif case.facts.get("top_level"):
        text = _("%(when)s, and nobody above %(top)s has been engaged (expected: %(level)s or above).")
    else:
        text = _("%(when)s, and nobody of the level %(level)s or above has been engaged.")
    text = text % {"when": when, "level": level(case.facts["level"]), "top": level(case.facts.get("top_level"))}
    if untitled := case.facts.get("untitled"):
        text += " " + ngettext(
            "%(count)s person engaged has no job title.", "%(count)s people engaged have no job title.", untitled
        ) % {"count": number(untitled)}
    return text


def _stuck_in_stage(case: _Case) -> str:
    text = (
        _("In the stage “%(stage)s” since %(day)s: %(for)s (limit: %(limit)s).")
        if case.facts.get("exact")
        else _("In the stage “%(stage)s” since %(day)s at the latest: at least %(for)s (limit: %(limit)s).")
    )
    return case.fill(text, case.when("entered_on"), stage=case.deal.stage.name if case.deal.stage else "?")


def _close_date_passed(case: _Case) -> str:
    return case.fill(_("Expected to close on %(day)s, %(ago)s."), case.when("close_on"))


def _amount_empty(case: _Case) -> str:
    return _("The CRM holds no amount.") if case.facts.get("amount") is None else _("The amount is zero.")


def _deal_too_old(case: _Case) -> str:
    return case.fill(_("Created on %(day)s, %(ago)s (limit: %(limit)s)."), case.when("created_on"))


_SENTENCES: Mapping[str, Callable[[_Case], str]] = {
    "no_activity": _no_activity,
    "no_meeting": _no_meeting,
    "single_contact": _single_contact,
    "key_role": _key_role,
    "power_map": _power_map,
    "stuck_in_stage": _stuck_in_stage,
    "close_date_passed": _close_date_passed,
    "amount_empty": _amount_empty,
    "deal_too_old": _deal_too_old,
}


def sentence(alert: Alert, deal: Deal, names: Names, clock: Clock, attempts: int = 0) -> str:
    """The facts behind an alert in one sentence. `attempts`: unanswered calls since the last interaction."""
    return _SENTENCES[alert.kind](_Case(alert.evidence, deal, names, clock, alert.subject, attempts))


def since(alert: Alert, clock: Clock) -> str:
    """Since when it holds."""
    held = alert.holds_since
    return _("Since %(day)s (%(ago)s)") % {"day": day(held, clock.today), "ago": days_apart(held, clock.today)}


def measures(alert: Alert, deal: Deal, clock: Clock) -> list[tuple[str, str]]:
    """Limit, measured value, since when it holds, and when Vigie first saw it: (name, value)."""
    limit, held = alert.evidence.get("limit"), alert.holds_since
    case = _Case(alert.evidence, deal, Names(), clock, alert.subject, 0)
    close, streak = case.when("close_on"), case.when("since")
    found = []
    if limit is not None:
        found.append((_("Limit"), days(limit)))
    if close:
        left = -case.age(close)
        found.append((_("Days left"), days(left)) if left >= 0 else (_("Days overdue"), days(-left)))
    elif alert.kind == "single_contact" and streak:
        found.append((_("Measured"), days(case.age(max(streak, deal.created_on or streak)))))
    elif limit is not None:
        # It fires `limit` days after the day that is measured from.
        found.append((_("Measured"), days(case.age(held) + limit)))
    found.append((_("Since"), day(held, clock.today)))
    found.append((_("First seen"), day(alert.opened_at.astimezone(clock.zone).date(), clock.today)))
    return found


def spoken(name: str, titles: list[str]) -> str:
    """What a screen reader says of the icons of a deal."""
    count = len(titles)
    text = ngettext("%(deal)s: %(count)s alert, %(alerts)s", "%(deal)s: %(count)s alerts, %(alerts)s", count)
    return text % {"deal": name, "count": number(count), "alerts": join(titles)}


def margin(kind: str, on: date | None, deal: Deal, clock: Clock) -> str:
    """Why a rule is clear: how far it is from firing if nothing happens."""
    if on is not None:
        values = {"day": day(on, clock.today), "away": days_apart(on, clock.today)}
        if kind == "no_meeting":
            return _("Something lies ahead; fires %(away)s, on %(day)s, unless more is planned.") % values
        return _("Fires %(away)s, on %(day)s, if nothing happens.") % values
    if not deal.engaged_count:
        alone = _("Nobody has been engaged yet.")
    elif deal.streak_count:
        alone = _("Too few interactions in a row with the same person.")
    else:
        alone = _("The last interaction engaged several people.")
    return {
        "single_contact": alone,
        "power_map": _("Somebody of this level has been engaged."),
        "amount_empty": _("The amount is filled in."),
    }.get(kind, _("Cannot fire as things stand."))


def unknown(reason: str) -> str:
    """Why a rule could not be judged."""
    return {
        "no_close_date": _("The deal has no close date in the CRM."),
        "no_holder": _("No contact of the deal holds this role in the CRM."),
        "no_titles": _("None of the people engaged has a job title in the CRM."),
    }.get(reason, _("A fact is missing."))
