"""The vocabulary of facts about deals. SQL that the ORM cannot say lives here and in `deals.summaries`."""

from typing import TYPE_CHECKING, Any

from django.db.models import DateField, Expression, F, Func, Q, QuerySet, Value

if TYPE_CHECKING:
    from deals.models import Deal  # noqa: F401

OPEN = Q(status="open", archived=False, deleted=False)


class Nth(Func):
    """The n-th element (from 1) of an array of dates; NULL when there are fewer."""

    output_field = DateField()

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, tuple[Any, ...]]:
        array, array_params = compiler.compile(self.source_expressions[0])
        position, position_params = compiler.compile(self.source_expressions[1])
        return f"({array})[{position}]", (*array_params, *position_params)


class LocalDate(Func):
    """The calendar day of a moment in a named zone."""

    output_field = DateField()
    template = "(%(expressions)s)::date"
    arg_joiner = " AT TIME ZONE "

    def __init__(self, moment: Expression | F, zone: str) -> None:
        super().__init__(moment, Value(zone))


class DealQuerySet(QuerySet["Deal"]):
    def open(self) -> "DealQuerySet":
        return self.filter(OPEN)

    def for_list(self) -> "DealQuerySet":
        """With the names that a row shows."""
        return self.select_related("stage", "owner", "company", "pipeline", "source")
