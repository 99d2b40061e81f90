"""Alerts that people do not want to see on a deal for now. The rules go on judging; only the mask leaves them out.

The engine writes the mask, and ends a snooze: by its date, because the deal has changed, or because somebody has said
so (`ended_by`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import Organisation, User
from alerts import formats, parking, queue
from alerts.engine import STATE
from alerts.models import Alert, Snooze
from alerts.rules import BY_KIND
from deals.clock import Clock

LONGEST = timedelta(days=366)  # later than that is a mute
REASON_LENGTH = 500

# A second snooze of the same alert takes the place of the first.
INSERT = f"""
INSERT INTO alerts_snooze AS t
    (organisation_id, deal_id, kind, subject, until_on, state, reason, user_id, created_at)
SELECT %(org)s, a.deal_id, a.kind, a.subject, %(until_on)s::date, CASE WHEN %(until_change)s THEN {STATE} ELSE '' END,
       %(reason)s, %(user)s, %(now)s
FROM alerts_alert a JOIN deals_deal ON deals_deal.organisation_id = %(org)s AND deals_deal.id = a.deal_id
WHERE a.organisation_id = %(org)s AND a.deal_id = ANY(%(deals)s::bigint[]) AND a.kind = ANY(%(kinds)s)
      AND a.resolved_at IS NULL AND (%(subject)s::text IS NULL OR a.subject = %(subject)s)
ORDER BY a.deal_id, a.kind, a.subject
ON CONFLICT (organisation_id, deal_id, kind, subject) WHERE ended_at IS NULL DO UPDATE SET
    until_on = excluded.until_on, state = excluded.state, reason = excluded.reason, user_id = excluded.user_id,
    created_at = excluded.created_at, ended_by_id = NULL
"""


@dataclass(frozen=True)
class Choice:
    """An answer to "until when": `value` of the form's field `until`."""

    value: str
    label: str


def choices(today: date) -> list[Choice]:
    """The quick answers, the likeliest first."""
    labels = {
        "tomorrow": _("Until tomorrow, %(day)s"),
        "monday": _("Until next Monday, %(day)s"),
        "fortnight": _("For 2 weeks, until %(day)s"),
    }
    dates = _dates(today)
    dated = [Choice(value, label % {"day": formats.day(dates[value], today)}) for value, label in labels.items()]
    if dates["tomorrow"] == dates["monday"]:
        del dated[1]
    return [
        *dated,
        Choice("change", _("Until the deal changes")),
        Choice("mute", _("For good (mute)")),
        Choice("date", _("Until a date")),
    ]


def _dates(today: date) -> dict[str, date]:
    return {
        "tomorrow": today + timedelta(days=1),
        "monday": today + timedelta(days=7 - today.weekday()),
        "fortnight": today + timedelta(days=14),
    }


def until(form: Mapping[str, str], today: date) -> tuple[date | None, bool]:
    """What `snooze` takes as (until_on, until_change), of the fields `until` (a Choice) and `date`, as YYYY-MM-DD.

    Raises ValidationError with a sentence for people.
    """
    match form.get("until", ""):
        case "change":
            return None, True
        case "mute":
            return None, False
        case "date":
            on = _date(form.get("date", ""))
            if on is None or not today < on <= today + LONGEST:
                raise ValidationError(_("Choose a date between tomorrow and a year from now."))
            return on, False
        case known if known in _dates(today):
            return _dates(today)[known], False
    raise ValidationError(_("Choose until when it should be snoozed."))


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def snooze(
    organisation: Organisation,
    deals: Collection[int],
    kinds: Collection[str],
    until_on: date | None,
    until_change: bool,
    reason: str,
    user: User | None,
    clock: Clock,
    subject: str | None = None,
) -> int:
    """Snooze the open alerts of these kinds on these deals; returns how many. A second time replaces the first.

    They are back on the morning of the local date `until_on`, or when the deal changes; with neither they are muted.
    `subject`: only that one of each kind. Raises ValueError for a date that is not ahead or more than a year away.
    Deals of others and kinds that do not exist are passed over. Runs in the caller's transaction.
    """
    if until_on and not clock.today < until_on <= clock.today + LONGEST:
        raise ValueError(f"{until_on} does not lie within a year from {clock.today}")
    with connection.cursor() as cursor:
        cursor.execute(
            INSERT,
            {
                "org": organisation.pk,
                "deals": list(deals),
                "kinds": _known(kinds),
                "subject": subject,
                "until_on": until_on,
                "until_change": until_change,
                "reason": " ".join(reason.replace("\x00", "").split())[:REASON_LENGTH],
                "user": user.pk if user else None,
                "now": clock.now,
            },
        )
        found: int = cursor.rowcount
    return _evaluated(organisation, deals, found, clock)


def wake(
    organisation: Organisation,
    deals: Collection[int],
    kinds: Collection[str],
    user: User,
    clock: Clock,
    subject: str | None = None,
) -> int:
    """End the snoozes of these kinds on these deals; returns how many. Runs in the caller's transaction."""
    mine = Snooze.objects.filter(organisation=organisation, ended_at=None, kind__in=_known(kinds), deal__in=list(deals))
    if subject is not None:
        mine = mine.filter(subject=subject)
    return _evaluated(organisation, deals, mine.update(ended_by=user), clock)


def _known(kinds: Collection[str]) -> list[str]:
    return [kind for kind in kinds if kind in BY_KIND]


def _evaluated(organisation: Organisation, deals: Collection[int], found: int, clock: Clock) -> int:
    """`found`, after the mask has been written; one that cannot be judged is left to the worker, which parks it."""
    if found:
        try:
            with transaction.atomic():
                parking.evaluate(organisation, deals, clock)
        except parking.BAD_DATA:
            queue.mark(organisation, organisation.deals.among(deals).values_list("pk", flat=True))
    return found


def due(organisation: Organisation, clock: Clock) -> "QuerySet[Snooze, int]":
    """The deals with a snooze whose date has come."""
    ended = Snooze.objects.filter(organisation=organisation, ended_at=None, until_on__lte=clock.today)
    return ended.values_list("deal_id", flat=True).distinct()


def snoozed_deals(organisation: Organisation) -> "QuerySet[Alert, int]":
    """The deals with an open alert that is snoozed."""
    return Alert.objects.filter(organisation=organisation, resolved_at=None).asleep().values_list("deal_id", flat=True)
