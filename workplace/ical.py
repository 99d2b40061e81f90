"""Coming alerts as an iCal calendar (RFC 5545) behind an address that needs no login.

The address names a CalendarFeed and when it was made, and is signed: it cannot be guessed, nothing secret is stored,
and it ends when the row goes or is given another time.
"""

import unicodedata
import uuid
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, time, timedelta

from django.core.signing import BadSignature, Signer
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from icalendar import Calendar, Event, vDuration

from accounts.models import Membership
from alerts import formats, wording
from alerts.coming import DAYS, Due, coming
from deals import owners
from deals.clock import Clock
from deals.models import Role, TeamMember
from workplace.models import CalendarFeed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHOWN = 200  # deals of a day; one more event says how many there are besides
LONGEST = 200  # characters of a name
REFRESH = timedelta(hours=1)


# ---- The address


def _signer() -> Signer:
    return Signer(salt="workplace.ical", sep=".")


def token_of(feed: CalendarFeed) -> str:
    made = (feed.created_at - EPOCH) // timedelta(microseconds=1)
    return _signer().sign(f"{feed.organisation_id}-{feed.pk}-{made}")


def read_token(token: str) -> tuple[int, int, datetime] | None:
    """The organisation, the feed and when it was made; None for a token that was never signed here."""
    try:
        organisation, feed, made = map(int, _signer().unsign(token).split("-"))
    except (BadSignature, ValueError):
        return None
    return organisation, feed, EPOCH + timedelta(microseconds=made)


def feed_of(organisation: int, pk: int, made: datetime) -> CalendarFeed | None:
    """The feed, while its owner is a member. In the organisation's tenant context."""
    feeds = CalendarFeed.objects.filter(organisation=organisation, pk=pk, created_at=made, user__is_active=True)
    members = Membership.objects.filter(organisation=organisation).values("user")
    return feeds.filter(user__in=members).select_related("organisation", "user").first()


# ---- The calendar


def owners_of(feed: CalendarFeed) -> Collection[int] | None:
    """Whose deals are in it: ids of owners, None for all. A team that has gone leaves the member's own."""
    if feed.deals == CalendarFeed.Deals.ALL:
        return None
    team = TeamMember.objects.filter(organisation=feed.organisation, team=feed.team_id, team__stale=False)
    found = list(team.values_list("colleague_id", flat=True)) if feed.deals == CalendarFeed.Deals.TEAM else []
    return found or owners.mine(feed.user, feed.organisation)


def calendar(feed: CalendarFeed, clock: Clock, absolute: Callable[[str], str]) -> bytes:
    """An event a deal and day, in the language that is active; the same bytes until something of it changes.

    `absolute` makes a whole address of a path.
    """
    organisation, whose = feed.organisation, owners_of(feed)
    found = coming(organisation, organisation.deals.all(), clock, owners=whose, limit=SHOWN)
    names = wording.Names(roles=dict(Role.objects.filter(organisation=organisation).values_list("key", "label")))
    made = Calendar()
    made.add("prodid", "-//Vigie//Coming alerts//EN")
    made.add("version", "2.0")
    made.add("method", "PUBLISH")
    made.add("name", _("Vigie: coming alerts"))
    made.add("x-wr-calname", _("Vigie: coming alerts"))
    made.add("refresh-interval", vDuration(REFRESH), parameters={"value": "DURATION"})
    made.add("x-published-ttl", vDuration(REFRESH))
    # When it was revised: the morning on which the dates count from, so that nothing differs from one read to the next.
    stamp = datetime.combine(clock.today, time(), clock.zone).astimezone(UTC)
    for due in found.due:
        made.add_component(_event(due, feed, names, stamp, absolute))
    counts: dict[date | None, int] = {}
    for count in found.counts:
        if whose is None or count.owner in whose:
            counts[count.on] = counts.get(count.on, 0) + count.deals
    for day in (clock.today + timedelta(days=n) for n in range(1, DAYS + 1)):
        if (more := counts.get(day, 0) - SHOWN) > 0:
            text = ngettext("Alerts on %(count)s more deal", "Alerts on %(count)s more deals", more)
            event = _all_day(feed, f"more:{day}", day, stamp, text % {"count": formats.number(more)})
            event.add("url", absolute(f"{reverse('workplace:upcoming')}?owner=all&on={day}"))
            made.add_component(event)
    body: bytes = made.to_ical()
    return body


def _event(
    due: Due, feed: CalendarFeed, names: wording.Names, stamp: datetime, absolute: Callable[[str], str]
) -> Event:
    name = _plain(due.company or due.title or _("Untitled deal"))
    titles = [wording.title(rule.kind, subject, names) for rule, subject in due.alerts]
    event = _all_day(feed, f"{due.deal}:{due.on}", due.on, stamp, _plain(f"{name}: {', '.join(titles)}", 2 * LONGEST))
    address = absolute(reverse("alerts:deal", args=[due.deal]))
    said = [_plain(due.title)] if due.company and due.title else []
    said += [f"{title}: {rule.action}" for title, (rule, _subject) in zip(titles, due.alerts, strict=True)]
    if due.amount is not None:
        said.append(_("Amount: %(amount)s") % {"amount": formats.money(due.amount, due.currency)})
    if due.owner_name:
        said.append(_("Owner: %(name)s") % {"name": _plain(due.owner_name)})
    event.add("description", "\n".join([*said, address]))
    event.add("url", address)
    return event


def _all_day(feed: CalendarFeed, key: str, day: date, stamp: datetime, summary: str) -> Event:
    event = Event()
    event.add("uid", str(uuid.uuid5(uuid.NAMESPACE_URL, f"vigie:{feed.organisation_id}:{key}")))
    event.add("dtstamp", stamp)
    event.add("dtstart", day)
    event.add("dtend", day + timedelta(days=1))
    event.add("summary", summary)
    event.add("transp", "TRANSPARENT")
    return event


def _plain(text: str, longest: int = LONGEST) -> str:
    """One line without control characters, which a calendar cannot hold, and not longer than it can show."""
    words = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split()
    line = " ".join(words)
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
