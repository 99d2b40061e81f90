"""Every sentence about alerts, made when it is shown: from the kind and the stored facts, in the reader's language.

Facts are dates and ids; names come with `Names` (alerts.evidence), ages from the clock. A fact that has gone since (an
activity deleted, a person merged) is left out of its sentence.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from alerts.facts import Case
from alerts.formats import day, days, days_apart, join, money, number, per_language
from alerts.models import Alert
from alerts.rules import BY_KIND
from alerts.rules.power_map import LEVELS
from deals.calendar import working_days
from deals.clock import Clock


@dataclass(frozen=True)
class Told:
    """What an activity was: its kind, who was engaged, and whether they wrote it."""

    kind: str
    people: tuple[str, ...] = ()
    incoming: bool = False


@dataclass(frozen=True)
class Rejection:
    """An activity that looks as if it spoke against an alert; `why` it does not is a code of `why_not`.

    `people`: ids of those who were in copy only or declined.
    """

    activity: int
    at: datetime
    why: str
    people: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """The newest rejections of an alert, how many there are in all, and how many of these are unanswered calls."""

    newest: tuple[Rejection, ...] = ()
    total: int = 0
    attempts: int = 0


@dataclass(frozen=True)
class Earlier:
    """When the deal was in its stage before: local dates (from, to). `exact`: nothing of it is missing."""

    stays: tuple[tuple[date, date], ...] = ()
    exact: bool = True


@dataclass(frozen=True)
class Names:
    """What the ids in evidence stand for, and what is told beside it. By id; by deal; by Case.key.

    `country`: whose working days are counted where an alert counts such.
    """

    activities: Mapping[int, Told] = field(default_factory=dict)
    people: Mapping[int, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    untitled: Mapping[int, Sequence[str]] = field(default_factory=dict)
    senior: Mapping[int, Sequence[str]] = field(default_factory=dict)
    earlier: Mapping[int, Earlier] = field(default_factory=dict)
    rejected: Mapping[tuple[int, str, str], Rejected] = field(default_factory=dict)
    country: str = ""

    def activity(self, pk: int | None) -> str:
        """Empty when it is gone."""
        told = self.activities.get(pk or 0)
        return activity(told) if told else ""

    def several(self, ids: Sequence[int]) -> str:
        """Those of the people who are still there; empty when nobody is."""
        return some([self.people[pk] for pk in ids if self.people.get(pk)])

    def role(self, key: str) -> str:
        return self.roles.get(key, key)


def some(people: Sequence[str]) -> str:
    """ "Ana Ruiz, Karim Belaïd and 3 others"."""
    if len(people) > 3:
        rest = len(people) - 2
        others = ngettext("%(count)s other", "%(count)s others", rest) % {"count": number(rest)}
        people = [*people[:2], others]
    return join(list(people))


def activity(told: Told) -> str:
    """ "call with Ana Ruiz", "e-mail from Ana Ruiz", "meeting"."""
    match told.kind:
        case "call":
            what = _("call")
        case "email":
            what = _("e-mail")
        case "message":
            what = _("message")
        case "meeting":
            what = _("meeting")
        case _other:
            what = _("interaction")
    if not told.people:
        return what
    if told.kind in ("email", "message"):
        pattern = _("%(what)s from %(people)s") if told.incoming else _("%(what)s to %(people)s")
    else:
        pattern = _("%(what)s with %(people)s")
    return pattern % {"what": what, "people": some(told.people)}


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def title(kind: str, subject: str, names: Names) -> str:
    """The alert's name, with the role where it is about one."""
    name = str(BY_KIND[kind].title)
    return _("%(alert)s: %(role)s") % {"alert": name, "role": names.role(subject)} if subject else name


def level(value: int | None) -> str:
    return str(dict(LEVELS).get(value or 0, pgettext("level of a job title", "none")))


@dataclass(frozen=True)
class Days:
    """Days in the reader's words: calendar days, or the working days of a country."""

    today: date
    country: str = ""

    def between(self, start: date, end: date) -> int:
        """Days in (start, end]; negative when the end comes first."""
        if not self.country:
            return (end - start).days
        worked = working_days(self.country, self.today.year + 10)
        return bisect_right(worked, end) - bisect_right(worked, start)

    def since(self, start: date) -> int:
        return self.between(start, self.today)

    def said(self, count: int) -> str:
        """A number and its unit, never parted at the end of a line."""
        return _working_days(count) if self.country else days(count)

    def apart(self, on: date) -> str:
        """ "today", "14 days ago", "in 3 working days"."""
        return _apart((on - self.today).days, self.since(on), bool(self.country))


@per_language
def _working_days(count: int) -> str:
    text = ngettext("%(count)s working day", "%(count)s working days", count) % {"count": number(count)}
    return text.replace(" ", "\u00a0")


@per_language
def _apart(distance: int, count: int, working: bool) -> str:
    """`distance`: calendar days from today. `count`: days that have passed, of the kind that is counted."""
    match distance:
        case 0:
            return _("today")
        case -1 if not working:
            return _("yesterday")
        case 1 if not working:
            return _("tomorrow")
        case ahead if ahead > 0 and working:
            text = ngettext("in %(count)s working day", "in %(count)s working days", -count)
        case ahead if ahead > 0:
            text = ngettext("in %(count)s day", "in %(count)s days", -count)
        case _behind if working:
            text = ngettext("%(count)s working day ago", "%(count)s working days ago", count)
        case _behind:
            text = ngettext("%(count)s day ago", "%(count)s days ago", count)
    return text % {"count": number(abs(count))}


@dataclass(frozen=True)
class _Telling:
    """A case with all that its sentence may need."""

    case: Case
    names: Names
    clock: Clock

    @cached_property
    def days(self) -> Days:
        return Days(self.clock.today, self.names.country if self.case.facts.get("business") else "")

    @property
    def activity(self) -> str:
        return self.names.activity(self.case.facts.get("activity"))

    @property
    def limit(self) -> str:
        """ "10 days", "20 days by the override “Enterprise”"."""
        said = self.days.said(self.case.facts["limit"])
        if override := self.case.facts.get("override"):
            return _("%(limit)s by the override “%(name)s”") % {"limit": said, "name": override}
        return said

    def fill(self, pattern: str, on: date | None = None, **values: str) -> str:
        """`pattern` with the day, its distance in days and the limit filled in."""
        return pattern % _Gaps(self, on, values)


class _Gaps(dict[str, str]):
    """What a pattern may ask for beside `values`; made only when it does."""

    def __init__(self, tell: _Telling, on: date | None, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.tell, self.on = tell, on

    def __missing__(self, name: str) -> str:
        on, count = self.on, self.tell.days
        match name:
            case "limit":
                return self.tell.limit
            case "day" if on:
                return day(on, count.today)
            case "ago" if on:
                return count.apart(on)
            case "for" if on:
                return count.said(count.since(on))
        raise KeyError(name)


def _no_activity(tell: _Telling) -> str:
    [base] = tell.case.cited()
    if base.what == "activity" and (what := tell.activity):
        text = tell.fill(_("Last interaction: %(what)s on %(day)s, %(ago)s (limit: %(limit)s)."), base.on, what=what)
    else:
        pattern = {
            "activity": _("Last interaction on %(day)s, %(ago)s (limit: %(limit)s)."),
            "reopening": _("No interaction since the deal was reopened on %(day)s, %(ago)s (limit: %(limit)s)."),
            "creation": _("No interaction since the deal was created on %(day)s, %(ago)s (limit: %(limit)s)."),
        }[base.what]
        text = tell.fill(pattern, base.on)
    if attempts := tell.names.rejected.get(tell.case.key, Rejected()).attempts:
        calls = ngettext("%(count)s unanswered call since.", "%(count)s unanswered calls since.", attempts)
        text += " " + calls % {"count": number(attempts)}
    return text


def _no_meeting(tell: _Telling) -> str:
    [base] = tell.case.cited()
    if base.what != "planned":
        pattern = {
            "reopening": _("No meeting or call has been planned since the deal was reopened on %(day)s, %(ago)s."),
            "creation": _("No meeting or call has been planned since the deal was created on %(day)s, %(ago)s."),
        }[base.what]
        return tell.fill(pattern, base.on)
    what = tell.activity
    if tell.case.outcome == "clear":
        if what:
            return tell.fill(_("Last one planned: %(what)s on %(day)s, %(ago)s."), base.on, what=what)
        return tell.fill(_("The last one planned is on %(day)s, %(ago)s."), base.on)
    if what:
        text = _("Nothing lies ahead since the last one planned: %(what)s on %(day)s, %(ago)s.")
        return tell.fill(text, base.on, what=what)
    return tell.fill(_("Nothing lies ahead since the last one planned, on %(day)s, %(ago)s."), base.on)


def _single_contact(tell: _Telling) -> str:
    facts = tell.case.facts
    if not (cited := tell.case.cited()):
        return ""
    count, person = facts["count"], tell.names.several(cited[0].ids)
    if tell.case.on is None:
        text = ngettext(
            "%(count)s interaction in a row with %(person)s (minimum: %(minimum)s).",
            "%(count)s interactions in a row with %(person)s (minimum: %(minimum)s).",
            count,
        )
        person = person or _("the same person")
        return tell.fill(text, person=person, count=number(count), minimum=number(facts["minimum"]))
    text = ngettext(
        "The last %(count)s interaction was with %(person)s, since %(day)s: %(for)s (limit: %(limit)s).",
        "The last %(count)s interactions were all with %(person)s, since %(day)s: %(for)s (limit: %(limit)s).",
        count,
    )
    start = tell.case.when("since")
    assert start is not None
    if tell.case.deal.created_on:
        start = max(start, tell.case.deal.created_on)
    text = tell.fill(text, start, count=number(count), person=person or _("the same person"))
    if cited[-1].what == "enough":
        more = _("They were enough on %(day)s (minimum: %(minimum)s).")
        text += " " + tell.fill(more, cited[-1].on, minimum=number(facts["minimum"]))
    return text


def _key_role(tell: _Telling) -> str:
    if not (cited := tell.case.cited()):
        return ""
    role, people, base = tell.names.role(tell.case.subject), tell.names.several(cited[0].ids), cited[-1]
    who = _("%(role)s (%(people)s)") % {"role": role, "people": people} if people else role
    if base.what == "activity" and (what := tell.activity):
        text = _("%(who)s: last interaction on %(day)s, %(ago)s, %(what)s (limit: %(limit)s).")
        return tell.fill(text, base.on, who=who, what=what)
    reopened = _("%(who)s: no interaction since the deal was reopened on %(day)s, %(ago)s (limit: %(limit)s).")
    created = _("%(who)s: no interaction since the deal was created on %(day)s, %(ago)s (limit: %(limit)s).")
    known = _("%(who)s: no interaction yet; role known since %(day)s, %(ago)s (limit: %(limit)s).")
    last = _("%(who)s: last interaction on %(day)s, %(ago)s (limit: %(limit)s).")
    pattern = {"activity": last, "reopening": reopened, "creation": created, "known": known}[base.what]
    return tell.fill(pattern, base.on, who=who)


def _power_map(tell: _Telling) -> str:
    facts, deal = tell.case.facts, tell.case.deal
    expected = level(facts["level"])
    if tell.case.outcome == "clear" and tell.case.reaches_level:
        people = some(tell.names.senior.get(deal.pk, ()))
        text = _("Engaged: %(people)s (expected: %(level)s or above).") if people else ""
        return text % {"people": people, "level": expected}
    close = tell.case.when("close_on")
    untitled = _untitled(tell)
    if close is None or tell.case.outcome == "unknown":
        return untitled
    if close < tell.clock.today:
        when = tell.fill(_("The close date passed on %(day)s, %(ago)s"), close)
    elif close == tell.clock.today:
        when = _("The deal closes today")
    else:
        when = tell.fill(_("The deal closes on %(day)s, %(ago)s (limit: %(limit)s)"), close)
    if not facts["engaged"]:
        text = _("%(when)s, and nobody has been engaged yet (expected: %(level)s or above).")
    elif facts.get("top_level"):
        text = _("%(when)s, and nobody above %(top)s has been engaged (expected: %(level)s or above).")
    else:
        text = _("%(when)s, and nobody of the level %(level)s or above has been engaged.")
    text = text % {"when": when, "level": expected, "top": level(facts.get("top_level"))}
    return f"{text} {untitled}".strip()


def _untitled(tell: _Telling) -> str:
    """Who was engaged and has no job title: perhaps somebody senior."""
    count = tell.case.facts.get("untitled") or 0
    if people := some(tell.names.untitled.get(tell.case.deal.pk, ())):
        text = ngettext("%(people)s has no job title.", "%(people)s have no job title.", count)
        return text % {"people": people}
    if not count:
        return ""
    text = ngettext("%(count)s person engaged has no job title.", "%(count)s people engaged have no job title.", count)
    return text % {"count": number(count)}


def _stuck_in_stage(tell: _Telling) -> str:
    entered, exact = tell.case.when("entered_on"), bool(tell.case.facts.get("exact"))
    stage, count = tell.case.deal.stage, tell.days
    if entered is None:
        return ""
    text = (
        _("In the stage “%(stage)s” since %(day)s: %(for)s (limit: %(limit)s).")
        if exact
        else _("In the stage “%(stage)s” since %(day)s at the latest: at least %(for)s (limit: %(limit)s).")
    )
    text = tell.fill(text, entered, stage=stage.name if stage else "?")
    earlier = tell.names.earlier.get(tell.case.deal.pk, Earlier())
    if earlier.stays or not earlier.exact:
        total = count.since(entered) + sum(count.between(*stay) for stay in earlier.stays)
        more = (
            _("With earlier stays: %(total)s in all.")
            if exact and earlier.exact
            else _("With earlier stays: at least %(total)s in all.")
        )
        text += " " + more % {"total": count.said(total)}
    return text


def _close_date_passed(tell: _Telling) -> str:
    close = tell.case.when("close_on")
    return tell.fill(_("Expected to close on %(day)s, %(ago)s."), close) if close else ""


def _amount_empty(tell: _Telling) -> str:
    case = tell.case
    amount = case.facts.get("amount")
    if case.outcome == "clear":
        if amount is None:
            return ""
        return _("The CRM holds %(amount)s.") % {"amount": money(Decimal(str(amount)), case.deal.currency)}
    if case.facts.get("emptied_at") and case.on:
        text = _("The CRM has held no amount since %(day)s.") if amount is None else _("Zero since %(day)s.")
        return tell.fill(text, case.on)
    text = _("The CRM holds no amount.") if amount is None else _("The amount is zero.")
    return text + " " + _("Since when is not known.")


def _deal_too_old(tell: _Telling) -> str:
    return tell.fill(_("Created on %(day)s, %(ago)s (limit: %(limit)s)."), tell.case.when("created_on"))


_SENTENCES: Mapping[str, Callable[[_Telling], str]] = {
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


# Their fact may be older than the reopening, since when they hold at the earliest.
_HOLDS_SINCE_REOPENING = {"single_contact", "power_map", "close_date_passed", "amount_empty"}


def sentence(case: Case, names: Names, clock: Clock) -> str:
    """The facts that decide, and the arithmetic. Empty where there is none to tell."""
    tell = _Telling(case, names, clock)
    text = _SENTENCES[case.kind](tell)
    if not text:
        return ""
    reopened = next((fact for fact in case.cited() if fact.what == "reopening"), None)
    if reopened and case.outcome == "fires" and case.kind in _HOLDS_SINCE_REOPENING:
        text += " " + tell.fill(_("Counted from the reopening of the deal on %(day)s."), reopened.on)
    override, limited = case.facts.get("override"), case.facts.get("limit") is not None
    if override and not (limited and tell.limit in text):
        text += " " + _("By the override “%(name)s”.") % {"name": override}
    return text


def rejections(case: Case, names: Names, clock: Clock, most: int) -> list[str]:
    """Facts that look as if they spoke against the alert, and why they do not: the newest ones, the others counted."""
    rejected = names.rejected.get(case.key, Rejected())
    told = [_rejection(each, names, clock) for each in rejected.newest[:most]]
    if rest := rejected.total - len(told):
        told.append(ngettext("and %(count)s more", "and %(count)s more", rest) % {"count": number(rest)})
    reopened = case.when("reopened_on")
    if case.kind == "deal_too_old" and case.outcome == "fires" and reopened:
        text = _("Reopened on %(day)s: that does not start the count again")
        told.append(text % {"day": day(reopened, clock.today)})
    return told


def _rejection(rejection: Rejection, names: Names, clock: Clock) -> str:
    on = day(rejection.at.astimezone(clock.zone).date(), clock.today)
    what = capitalised(names.activity(rejection.activity) or _("interaction"))
    why = why_not(rejection.why, names.several(rejection.people) or _("somebody unknown"))
    return _("%(what)s on %(day)s: %(why)s") % {"what": what, "day": on, "why": why}


def why_not(code: str, people: str = "") -> str:
    """Why an activity is no interaction, or no meeting that lies ahead, or engaged somebody not; empty for no code."""
    match code:
        case "copied":
            return _("%(people)s in copy only") % {"people": people}
        case "declined":
            return _("%(people)s declined") % {"people": people}
        case "organiser":
            return _("%(people)s recorded as organiser only") % {"people": people}
        case "internal":
            return _("colleagues only, not counted")
        case "future":
            return _("planned, lies ahead")
        case "never_done":
            return _("planned, never marked as done, not counted")
        case "done_early":
            return _("marked as done already, no longer lies ahead")
        case "nobody_coming":
            return _("nobody invited is coming, not counted")
        case "attempt":
            return _("not answered, not counted")
        case "cancelled":
            return _("cancelled, not counted")
        case "no_show":
            return _("nobody came, not counted")
        case "rescheduled":
            return _("rescheduled, not counted")
        case "draft":
            return _("never sent, not counted")
        case "bounced":
            return _("not delivered, not counted")
        case "deleted":
            return _("deleted in the CRM, not counted")
    return ""


def since(case: Case, clock: Clock) -> str:
    """Since when it holds."""
    assert case.on is not None
    return _since(case.on, clock.today)


@per_language
def _since(on: date, today: date) -> str:
    return _("Since %(day)s (%(ago)s)") % {"day": day(on, today), "ago": days_apart(on, today)}


def measures(alert: Alert, case: Case, names: Names, clock: Clock) -> list[tuple[str, str]]:
    """Limit, measured value, since when it holds, and when Vigie first saw it: (name, value)."""
    limit, count = case.facts.get("limit"), _Telling(case, names, clock).days
    close, base = case.when("close_on"), _measured_from(case)
    found = []
    if limit is not None:
        found.append((_("Limit"), count.said(limit)))
    if close:
        left = count.between(clock.today, close)
        overdue = close < clock.today
        found.append((_("Days overdue"), count.said(-left)) if overdue else (_("Days left"), count.said(left)))
    elif limit is not None and base:
        found.append((_("Measured"), count.said(count.since(base))))
    found.append((_("Since"), day(alert.holds_since, clock.today)))
    found.append((_("First seen"), day(alert.opened_at.astimezone(clock.zone).date(), clock.today)))
    return found


def _measured_from(case: Case) -> date | None:
    """The day from which the days are counted that are held against the limit."""
    match case.kind:
        case "single_contact":
            return max((on for on in (case.when("since"), case.deal.created_on) if on), default=None)
        case "stuck_in_stage":
            return case.when("entered_on")
    return next((fact.on for fact in reversed(case.cited())), None)


def spoken(name: str, titles: list[str]) -> str:
    """What a screen reader says of the icons of a deal."""
    count = len(titles)
    text = ngettext("%(deal)s: %(count)s alert, %(alerts)s", "%(deal)s: %(count)s alerts, %(alerts)s", count)
    return text % {"deal": name, "count": number(count), "alerts": join(titles)}


def margin(case: Case, clock: Clock) -> str:
    """Why a rule is clear: how far it is from firing if nothing happens."""
    if case.on is not None:
        values = {"day": day(case.on, clock.today), "away": days_apart(case.on, clock.today)}
        if case.kind == "no_meeting":
            return _("Something lies ahead; fires %(away)s, on %(day)s, unless more is planned.") % values
        return _("Fires %(away)s, on %(day)s, if nothing happens.") % values
    if not case.deal.engaged_count:
        alone = _("Nobody has been engaged yet.")
    elif case.deal.streak_count:
        alone = _("Too few interactions in a row with the same person.")
    else:
        alone = _("The last interaction engaged several people.")
    return {
        "single_contact": alone,
        "power_map": _("Somebody of this level has been engaged.")
        if case.reaches_level
        else _("The close date is far away."),
        "amount_empty": _("The amount is filled in."),
    }.get(case.kind, _("Cannot fire as things stand."))


def unknown(reason: str) -> str:
    """Why a rule could not be judged."""
    return {
        "no_close_date": _("The deal has no close date in the CRM."),
        "no_holder": _("No contact of the deal holds this role in the CRM."),
        "no_titles": _("None of the people engaged has a job title in the CRM."),
        "participants_unread": _("Waits until the participants of this deal have been read from the CRM."),
        "mail_unread": _("Waits until the e-mails of this deal have been read from the CRM."),
        "history_unread": _("Waits until the history of this deal has been read from the CRM."),
    }.get(reason, _("A fact is missing."))


def snoozed(until_on: date | None, until_change: bool, today: date) -> str:
    """For how long an alert is, or was, snoozed."""
    if until_on:
        return _("Snoozed until %(day)s") % {"day": day(until_on, today)}
    return _("Snoozed until the deal changes") if until_change else _("Muted")
