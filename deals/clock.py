"""The only source of time for `deals` and `alerts`: nothing there asks the machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import DateField, Expression, F, Func, IntegerField, Value

from accounts.models import Organisation


class AddDays(Func):
    """date + integer in Postgres, NULL when either is."""

    template = "(%(expressions)s)"
    arg_joiner = " + "
    output_field = DateField()


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` is aware, `zone` the organisation's; `today` is the organisation's local date."""

    now: datetime
    zone: ZoneInfo

    @classmethod
    def of(cls, organisation: Organisation, now: datetime | None = None) -> "Clock":
        """The organisation's clock; `now` defaults to the machine's time and is given by tests."""
        return cls(now or datetime.now(UTC), organisation.zone)

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def add_days(self, when: Expression | F, days: "Expression | F | int") -> Expression:
        """The local date `days` (an integer or an expression) after the date `when`; negative counts back."""
        amount = Value(days, IntegerField()) if isinstance(days, int) else days
        return AddDays(when, amount)

    def sql_params(self) -> Mapping[str, Any]:
        return {"now": self.now, "today": self.today, "zone": self.zone.key}
