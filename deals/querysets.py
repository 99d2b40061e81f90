"""The vocabulary of facts about deals. SQL that the ORM cannot say lives here and in `deals.summaries`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db.models import DateField, Expression, F, Func, Q, QuerySet, Value
from django.db.models.expressions import RawSQL

if TYPE_CHECKING:
    from deals.models import Deal  # noqa: F401

OPEN = Q(status="open", archived=False, deleted=False)


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

    def among(self, ids: Iterable[int]) -> "DealQuerySet":
        """By id, as one array: the statement is the same for any number of them."""
        return self.filter(pk__in=RawSQL("SELECT unnest(%s::bigint[])", [sorted(ids)]))

    def synced(self) -> "DealQuerySet":
        """Of sources that have been read to the end once: before, most of the facts are still missing."""
        return self.filter(source__first_synced_at__isnull=False)

    def settled(self) -> "DealQuerySet":
        """With their derived columns (deals.settling)."""
        return self.filter(created_on__isnull=False)

    def for_list(self) -> "DealQuerySet":
        """With the names that a row shows."""
        return self.select_related("stage", "owner", "company", "pipeline", "source")
