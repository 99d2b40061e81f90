"""The calendar of coming alerts: two weeks of days, each with its deals, and how many there are of each rep."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from alerts import amounts, formats, wording
from alerts.coming import DAYS, NOBODY, Due, coming
from alerts.rules.base import Rule
from deals.clock import Clock
from deals.models import Role
from workplace.scope import NONE, Scope

SHOWN, SHOWN_OF_DAY = 5, 50  # deals of each day, and of one day alone


@dataclass(frozen=True)
class Day:
    on: date
    deals: int
    url: str
    weekend: bool
    chosen: bool

    @property
    def label(self) -> str:
        """ "Tuesday 25 November"."""
        return formats.long_day(self.on)

    @property
    def short(self) -> str:
        """ "25 Nov"."""
        return formats.day(self.on, self.on)

    @property
    def spoken(self) -> str:
        """The day and its number in one sentence."""
        deals = ngettext("%(count)s deal", "%(count)s deals", self.deals) % {"count": formats.number(self.deals)}
        return _("%(day)s: %(deals)s") % {"day": self.label, "deals": deals}


@dataclass(frozen=True)
class Row:
    due: Due
    name: str
    alerts: list[tuple[Rule, str]]  # with their titles
    converted: str


@dataclass(frozen=True)
class Group:
    """A day with deals. `more`: how many of them are not listed."""

    day: Day
    rows: list[Row]
    more: int


@dataclass(frozen=True)
class Rep:
    name: str
    deals: int
    url: str
    chosen: bool


@dataclass(frozen=True)
class Upcoming:
    """`weeks`: from Monday to Sunday, None for other days. `deals`: how many, however many days each has."""

    weeks: list[list[Day | None]]
    groups: list[Group]
    reps: list[Rep]
    deals: int
    page: int
    pages: int

    @property
    def week_days(self) -> list[tuple[str, str]]:
        """Short and full names, Monday first."""
        names = formats.active_locale().days["stand-alone"]
        return [(names["abbreviated"][n], names["wide"][n]) for n in range(7)]

    @property
    def most(self) -> int:
        return max((rep.deals for rep in self.reps), default=1)


def address(scope: Scope, on: date | None = None, page: int = 1, **changes: str) -> str:
    params = {**dict(scope.params), **changes}
    pairs = [(name, value) for name, value in params.items() if value]
    pairs += [("on", on.isoformat())] if on else []
    pairs += [("page", str(page))] if page > 1 else []
    path = reverse("workplace:upcoming")
    return f"{path}?{urlencode(pairs)}" if pairs else path


def upcoming(organisation: Organisation, scope: Scope, clock: Clock, on: date | None, page: int) -> Upcoming:
    """The days after today with the deals of `scope`; those of the day `on` alone, by pages. Three statements."""
    size = SHOWN_OF_DAY if on else SHOWN
    found = coming(
        organisation,
        organisation.deals.filter(scope.of_team),
        clock,
        owners=scope.owners,
        on=on,
        skip=(page - 1) * size if on else 0,
        limit=size,
    )
    by_day: dict[date | None, int] = {}  # None: in all
    for count in found.counts:
        if scope.owners is None or count.owner in scope.owners:
            by_day[count.on] = by_day.get(count.on, 0) + count.deals
    by_owner = {count.owner: count.deals for count in found.counts if count.on == on}
    first = clock.today + timedelta(days=1)
    days = {
        day: Day(day, by_day.get(day, 0), address(scope, day), day.weekday() >= 5, day == on)
        for day in (first + timedelta(days=n) for n in range(DAYS))
    }
    monday = first - timedelta(days=first.weekday())
    span = (first + timedelta(days=DAYS - 1) - monday).days // 7 + 1
    roles = dict(Role.objects.filter(organisation=organisation).values_list("key", "label"))
    rows = list(_rows(found.due, wording.Names(roles=roles), organisation.currency))
    return Upcoming(
        weeks=[[days.get(monday + timedelta(days=7 * week + n)) for n in range(7)] for week in range(span)],
        groups=[
            Group(days[day], listed := list(members), 0 if on else days[day].deals - len(listed))
            for day, members in groupby(rows, key=lambda row: row.due.on)
        ],
        reps=[
            Rep(
                scope.owner_name(owner),
                deals,
                address(scope, on, owner=str(owner) if owner != NOBODY else NONE),
                scope.owners is not None and owner in scope.owners,
            )
            for owner, deals in sorted(
                by_owner.items(), key=lambda each: (-each[1], not each[0], scope.owner_name(each[0]).casefold())
            )
        ],
        deals=by_day.get(on, 0),
        page=page,
        pages=max(1, -(-by_day.get(on, 0) // size)) if on else 1,
    )


def _rows(found: list[Due], names: wording.Names, currency: str) -> Iterator[Row]:
    for due in found:
        titles = [(rule, wording.title(rule.kind, subject, names)) for rule, subject in due.alerts]
        name = due.company or due.title or _("Untitled deal")
        yield Row(due, name, titles, amounts.converted(due, currency))
