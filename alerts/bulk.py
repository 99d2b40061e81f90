"""What can be done with the deals that somebody has chosen in the list: all of it at once, at most so many."""

from dataclasses import dataclass
from datetime import date, timedelta

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alerts import formats, snoozing
from alerts.deal_query import BITS, DealQuery
from alerts.reader import Reader
from alerts.rules import RULES
from deals.clock import Clock

MOST = 1_000  # deals


@dataclass(frozen=True)
class Chosen:
    """`left_out`: how many ids were none of the organisation's deals."""

    deals: list[int]
    left_out: int = 0


@dataclass(frozen=True)
class Choices:
    """What the form of the bulk bar offers. `kinds`: (kind, its name, its icon, whether it is ticked)."""

    kinds: list[tuple[str, str, str, bool]]
    until: list[snoozing.Choice]
    first: date
    most: int = MOST


def choices(query: DealQuery, clock: Clock) -> Choices:
    """The alerts that the list is filtered by are ticked, without such a filter all of them."""
    return Choices(
        kinds=[(rule.kind, str(rule.title), rule.icon, not query.alert or rule.kind in query.alert) for rule in RULES],
        until=snoozing.choices(clock.today),
        first=clock.today + timedelta(days=1),
    )


def chosen(reader: Reader, data: QueryDict, query: DealQuery) -> Chosen:
    """The deals that a form names by id, or all that match `query`. ValidationError for none, or more than MOST."""
    if data.get("all"):
        found = list(
            query.ordered(reader.open_deals.filter(query.matching(reader))).values_list("pk", flat=True)[: MOST + 1]
        )
        asked = len(found)
    else:
        ids = {int(value) for value in data.getlist("deal")[: MOST + 1] if value.isdecimal() and len(value) < 19}
        asked = len(set(data.getlist("deal")))
        found = list(reader.organisation.deals.among(ids).order_by("pk").values_list("pk", flat=True))
    if not asked:
        raise ValidationError(_("Choose at least one deal first."))
    if asked > MOST:
        most = {"most": formats.number(MOST)}
        raise ValidationError(
            _("At most %(most)s deals can be changed at once. Use filters to choose fewer; nothing was done.") % most
        )
    return Chosen(found, asked - len(found))


def act(reader: Reader, data: QueryDict, deals: list[int], clock: Clock) -> str:
    """Snooze or wake the chosen alerts of the deals (do=snooze|wake); returns what was done, as a sentence."""
    kinds = [kind for kind in data.getlist("kind") if kind in BITS]
    if not kinds:
        raise ValidationError(_("Choose at least one alert."))
    if data.get("do") == "wake":
        count = snoozing.wake(reader.organisation, deals, kinds, reader.user, clock)
        return _said(ngettext("%(count)s alert is back.", "%(count)s alerts are back.", count), count)
    if data.get("do") != "snooze":
        raise ValidationError(_("There is nothing of that kind to do."))
    until_on, until_change = snoozing.until(data, clock.today)
    count = snoozing.snooze(
        reader.organisation, deals, kinds, until_on, until_change, data.get("reason", ""), reader.user, clock
    )
    if until_on:
        sentence = ngettext(
            "%(count)s alert is snoozed until %(day)s.", "%(count)s alerts are snoozed until %(day)s.", count
        )
        return _said(sentence, count, day=formats.day(until_on, clock.today))
    if until_change:
        return _said(
            ngettext(
                "%(count)s alert is snoozed until its deal changes.",
                "%(count)s alerts are snoozed until their deals change.",
                count,
            ),
            count,
        )
    return _said(ngettext("%(count)s alert is muted.", "%(count)s alerts are muted.", count), count)


def _said(sentence: str, count: int, **texts: str) -> str:
    return sentence % {"count": formats.number(count), **texts}
