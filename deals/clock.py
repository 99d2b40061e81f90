"""The only source of time for `deals` and `alerts`: nothing there asks the machine."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import DateField, Expression, F, Func, IntegerField, Value
from django.db.models.functions import Coalesce, Greatest, NullIf

from accounts.models import Organisation
from deals import calendar

Days = Expression | F | int


class AddDays(Func):
    """date + integer in Postgres, NULL when either is."""

    template = "(%(expressions)s)"
    arg_joiner = " + "
    output_field = DateField()


class TakeDays(AddDays):
    arg_joiner = " - "


# The working days in ascending order, one array for a whole statement (`Clock.with_clause`): an uncorrelated scalar
# subselect is evaluated once, and finding a day in it is a binary search.
ARRAY = "(SELECT days FROM working_calendar)"


class Place(Func):
    """How many working days there are up to a date, the date included: its place in the array."""

    template = f"width_bucket(%(expressions)s, {ARRAY})"
    output_field = IntegerField()


class WorkingDay(Func):
    """The working day at a place, NULL where the array has none."""

    template = f"{ARRAY}[%(expressions)s]"
    output_field = DateField()


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` is aware, `zone` the organisation's; `today` is the organisation's local date.

    `country`: whose working days are counted; None counts calendar days.
    """

    now: datetime
    zone: ZoneInfo
    country: str | None = None

    @classmethod
    def of(cls, organisation: Organisation, now: datetime | None = None) -> "Clock":
        """The organisation's clock; `now` defaults to the machine's time and is given by tests."""
        return cls(now or datetime.now(UTC), organisation.zone)

    def with_calendar(self, country: str) -> "Clock":
        """This clock, counting the working days of `country` (ISO 3166, two letters)."""
        return replace(self, country=country)

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def add_days(self, when: Expression | F, days: Days) -> Expression:
        """The local date `days` calendar days (an integer or an expression) after the date `when`."""
        return AddDays(when, _number(days))

    def after(self, when: Expression | F, days: Days) -> Expression:
        """The first date on which `days` (0 or more) have passed since `when`, counted in (`when`, that date].

        Calendar days where the date or the answer lies outside the calendar. NULL when either is.
        """
        plain = AddDays(when, _number(days))
        if self.country is None:
            return plain
        counted = Coalesce(WorkingDay(NullIf(Place(when), Value(0)) + _number(days)), plain)
        return counted if isinstance(days, int) and days else Greatest(when, counted)

    def before(self, when: Expression | F, days: Days) -> Expression:
        """The first date from which at most `days` (0 or more) remain until `when`, counted in (that date, `when`].

        Calendar days where the date or the answer lies outside the calendar. NULL when either is.
        """
        plain = TakeDays(when, _number(days))
        if self.country is None:
            return plain
        end = Value(len(calendar.working_days(*self._calendar)))
        return Coalesce(WorkingDay(NullIf(Place(when), end) - _number(days)), plain)

    @property
    def _calendar(self) -> tuple[str, int]:
        return self.country or "", self.today.year + 10

    @property
    def with_clause(self) -> str:
        """What a statement with this clock's expressions begins its WITH with: `WITH {with_clause}first AS (…) …`.

        Takes the parameter `calendar` of `sql_params`. Empty when calendar days are counted.
        """
        return "" if self.country is None else "working_calendar(days) AS MATERIALIZED (SELECT %(calendar)s::date[]), "

    def sql_params(self) -> Mapping[str, Any]:
        return {} if self.country is None else {"calendar": calendar.array(*self._calendar)}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Gives the calendar to each queryset that is read inside and has this clock's expressions."""

        def give(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            if self.country is not None and ARRAY in sql and "working_calendar(days)" not in sql:
                sql = f"WITH working_calendar(days) AS MATERIALIZED (SELECT %s::date[]) {sql}"
                params = (calendar.array(*self._calendar), *(params or ()))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(give):
            yield


def _number(days: Days) -> Expression | F:
    return Value(days, IntegerField()) if isinstance(days, int) else days
