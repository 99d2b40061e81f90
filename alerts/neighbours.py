"""The next and the previous deal of the list from which somebody came: two look-ups in its order, one statement.

The list is asked for the deals before and after this one's place, so it is found even when this deal has left the list.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Q
from django.http import QueryDict

from alerts.deal_query import SORTS, DealQuery
from alerts.reader import Reader
from alerts.rules import COUNT_SHIFT
from deals.models import Deal

LONGEST = 1900  # characters of a list's query; what is longer is none of ours


@dataclass(frozen=True)
class Neighbours:
    previous: int | None
    next: int | None


def came_from(text: str | None) -> DealQuery | None:
    """The list that the address bar names; what is wrong in it is left out. None: it names none."""
    if text is None or len(text) > LONGEST:
        return None
    query = DealQuery.parse(QueryDict(text))
    return query.with_(page=query.page)  # without the sentences on what was wrong


def neighbours(deal: Deal, query: DealQuery, reader: Reader) -> Neighbours:
    before, after = _beside(deal, query)
    found = query.ordered(reader.open_deals.filter(query.matching(reader)))
    sides = (found.filter(before).reverse(), found.filter(after))
    (before_sql, before_params), (after_sql, after_params) = (
        side.values("pk")[:1].query.sql_with_params() for side in sides
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({before_sql}), ({after_sql})", (*before_params, *after_params))
        return Neighbours(*cursor.fetchone())


def _beside(deal: Deal, query: DealQuery) -> tuple[Q, Q]:
    """What comes before, and after, the deal's place in the list, as `DealQuery.ordered`: empty values last."""
    descending = query.sort.startswith("-")
    before, after = Q(pk__lt=deal.pk), Q(pk__gt=deal.pk)
    for column in reversed(SORTS[query.sort.removeprefix("-")]):
        value: Any = deal.alert_mask >> COUNT_SHIFT if column == "risk" else getattr(deal, column)
        sooner, later = ("gt", "lt") if descending else ("lt", "gt")
        empty = Q(**{f"{column}__isnull": True})
        if value is None:
            before, after = ~empty | (empty & before), empty & after
        else:
            same = Q(**{column: value})
            before = Q(**{f"{column}__{sooner}": value}) | (same & before)
            after = Q(**{f"{column}__{later}": value}) | empty | (same & after)
    return before, after
