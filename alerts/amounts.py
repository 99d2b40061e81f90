"""Amounts in several currencies, told so that nothing is summed silently: converted ones together and marked by "≈",
those without a rate apart and named (deals.rates)."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Q
from django.utils.translation import ngettext

from alerts import formats

ZERO = Decimal(0)


class Sum(NamedTuple):
    """The amounts of some deals in one currency: `value` is what they are worth in the organisation's; `unvalued` is
    the part that has no rate, of `without` deals."""

    currency: str = ""
    amount: Decimal = ZERO
    value: Decimal = ZERO
    unvalued: Decimal = ZERO
    without: int = 0

    def plus(self, amount: Decimal | None, value: Decimal | None, unvalued: Decimal | None, without: int) -> "Sum":
        return Sum(
            self.currency,
            self.amount + (amount or ZERO),
            self.value + (value or ZERO),
            self.unvalued + (unvalued or ZERO),
            self.without + without,
        )


# What a statement adds up for `Sum.plus`, of rows with `amount` and `value`.
SUMS = (
    "sum(amount) FILTER (WHERE {0}) AS amount",
    "sum(value) FILTER (WHERE {0}) AS value",
    "sum(amount) FILTER (WHERE {0} AND value IS NULL) AS unvalued",
    "count(*) FILTER (WHERE {0} AND value IS NULL AND amount <> 0) AS without",
)


def sums_sql(condition: str = "true") -> str:
    """The columns of SUMS, of the rows that meet a condition."""
    return ", ".join(column.format(condition) for column in SUMS)


# The same for the ORM.
AGGREGATES = {
    "total": models.Sum("amount"),
    "worth": models.Sum("value"),
    "unvalued": models.Sum("amount", filter=Q(value=None)),
    "without": models.Count("pk", filter=Q(value=None, amount__isnull=False) & ~Q(amount=0)),
}


def told(sums: Iterable[Sum], own: str) -> list[str]:
    """What they are worth in the currency `own`, then each currency without a rate.

    ["≈ €12,345", "3 deals in CHF without a rate"]; when nothing has a value, what it is in its own currency:
    ["CHF 30,000 (3 deals without a rate)"].
    """
    sums = list(sums)
    worth = sum((each.value for each in sums), ZERO)
    converted = any(each.value and each.currency != own for each in sums)
    parts = [formats.about(worth, own) if converted else formats.money(worth, own)] if worth or converted else []
    named = _named if parts else _in_its_own
    return parts + [named(each) for each in sorted(sums, key=lambda s: (-s.unvalued, s.currency)) if each.unvalued]


def _named(part: Sum) -> str:
    text = ngettext(
        "%(count)s deal in %(currency)s without a rate", "%(count)s deals in %(currency)s without a rate", part.without
    )
    return text % {"currency": part.currency or "?", "count": formats.number(part.without)}


def _in_its_own(part: Sum) -> str:
    text = ngettext(
        "%(amount)s (%(count)s deal without a rate)", "%(amount)s (%(count)s deals without a rate)", part.without
    )
    amount = formats.money(part.unvalued, part.currency)
    return text % {"amount": amount, "count": formats.number(part.without)}


def converted(deal: Any, own: str) -> str:
    """What the amount of an open deal in another currency is about worth: "≈ €9,213"; "" without a rate."""
    return formats.about(deal.value, own) if deal.value and deal.currency != own else ""
