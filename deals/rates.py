"""What deals are worth in the organisation's currency: dated rates that admins enter or import, and `Deal.value`.

A rate holds from its day (the organisation's local one) until the next one of its currency. The value of an open deal
comes from the rates in force today; it is written when the deal arrives and, by the worker, when other rates are in
force: `Source.valued_by` names the rates that the values of its deals come from.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from babel.core import get_global
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Count, Min, Q, QuerySet, Sum

from accounts.models import Organisation, User
from deals import plans
from deals.clock import Clock
from deals.models import ExchangeRate

OLD = timedelta(days=40)  # a rate from before then is told to be old
EARLIEST, FURTHEST = date(1999, 1, 1), timedelta(days=366)
DIGITS = Decimal("1e-10")  # to which a rate is kept
LARGEST = Decimal("1e10")
AT_ONCE = 5_000  # deals in one transaction
_LOCK = 0x5645  # "VE": exchange rates, among the advisory locks of this database

# An amount that leaves its column is no amount (20 digits, two of them cents). The target's own columns: when a sync
# changes the deal meanwhile, the value is that of the new amount.
_CONVERT = """
WITH own AS (SELECT currency FROM accounts_organisation WHERE id = %(org)s), rate AS MATERIALIZED (
    (SELECT DISTINCT ON (r.currency) r.currency, r.rate FROM deals_exchangerate r JOIN own ON own.currency = r.base
     WHERE r.organisation_id = %(org)s AND r.valid_on <= %(today)s ORDER BY r.currency, r.valid_on DESC)
    UNION ALL SELECT currency, 1 FROM own
)
UPDATE deals_deal d SET value = {value}
WHERE d.organisation_id = %(org)s AND d.id = ANY(%(deals)s) AND d.value IS DISTINCT FROM {value}
""".replace(
    "{value}",
    """CASE WHEN d.status = 'open' AND NOT d.archived AND NOT d.deleted THEN (
    SELECT round(d.amount * rate.rate, 2) FROM rate
    WHERE rate.currency = d.currency AND abs(d.amount * rate.rate) < 1e18) END""",
)


class Conflict(Exception):
    """Somebody entered another rate for the same currency and day after the page was read."""

    def __init__(self, current: ExchangeRate) -> None:
        self.current = current
        super().__init__(f"{current.currency} of {current.valid_on} was entered meanwhile")


class Given(NamedTuple):
    """What one unit of `currency` is worth in the organisation's currency from `valid_on` on."""

    currency: str
    valid_on: date
    rate: Decimal


class Saved(NamedTuple):
    new: int
    replaced: int
    same: int


def keep_still(cursor: CursorWrapper, organisation: int) -> None:
    """Until the end of the transaction no rate changes: whoever writes deals calls it before the first row.

    Otherwise a deal that arrives while a rate is being saved would keep a value by the old one.
    """
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [_LOCK, organisation])


def alone(organisation: Organisation) -> None:
    """Until the end of the transaction nobody else writes rates or deals: whoever changes rates calls it first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, organisation.pk])


# ---- Values


def convert(cursor: CursorWrapper, organisation: int, deals: Collection[int], clock: Clock) -> None:
    """Bring `Deal.value` of `deals` up to date; only what differs is written. In the caller's transaction."""
    if deals:
        scope = {"org": organisation, "deals": sorted(deals), "today": clock.today}
        plans.execute_for(len(deals), cursor, _CONVERT, scope)


def convert_part(organisation: Organisation, clock: Clock, after: int) -> int | None:
    """The values of the next AT_ONCE open deals after the id `after`; returns the last one, None when none is left."""
    following = organisation.deals.open().filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
    deals = list(following[:AT_ONCE])
    with connection.cursor() as cursor:
        convert(cursor, organisation.pk, deals, clock)
    return deals[-1] if len(deals) == AT_ONCE else None


def in_force(organisation: Organisation, today: date) -> dict[str, ExchangeRate]:
    """By currency the rate that holds today. One statement."""
    rates = ExchangeRate.objects.filter(organisation=organisation, base=organisation.currency, valid_on__lte=today)
    newest = rates.order_by("currency", "-valid_on").distinct("currency").select_related("entered_by")
    return {rate.currency: rate for rate in newest}


def name_of(organisation: Organisation, clock: Clock) -> str:
    """A short name for the currency and the rates in force today, as `Source.valued_by` keeps it."""
    said = [organisation.currency, *((c, str(r.rate)) for c, r in in_force(organisation, clock.today).items())]
    return hashlib.md5(repr(said).encode(), usedforsecurity=False).hexdigest()


def is_outdated(organisation: Organisation, clock: Clock) -> bool:
    """Whether the values of some deals come from other rates than those in force today."""
    stored = set(organisation.sources.values_list("valued_by", flat=True))
    return bool(stored) and stored != {name_of(organisation, clock)}


# ---- Rates


def known_currencies() -> list[str]:
    """The codes of what is legal tender somewhere today."""
    spent = get_global("territory_currencies").values()
    return sorted({code for of_one in spent for code, _start, end, tender in of_one if tender and end is None})


def is_code(code: str) -> bool:
    return len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()


def codes_in_use(organisation: Organisation) -> set[str]:
    """The currencies of open deals. A CRM may have its own, which no list knows."""
    used = organisation.deals.open().exclude(currency="").order_by().values_list("currency", flat=True).distinct()
    return set(used)


def enter(organisation: Organisation, given: Given, user: User, clock: Clock, seen: str = "") -> Saved:
    """Save one rate; that of the same day is replaced. `seen`: the newest entry that the user's page knew (`newest`).

    Raises Conflict. In the caller's transaction; the caller rings the worker.
    """
    alone(organisation)
    rates = ExchangeRate.objects.filter(organisation=organisation, base=organisation.currency)
    there = rates.filter(currency=given.currency, valid_on=given.valid_on).select_related("entered_by").first()
    if there and there.rate != given.rate and seen and there.entered_at.isoformat() > seen:
        raise Conflict(there)
    return save_all(organisation, [given], user, clock)


def save_all(organisation: Organisation, given: Collection[Given], user: User, clock: Clock) -> Saved:
    """Save rates, at most one of a currency and day; one that is there already stays whose it was. Three statements."""
    alone(organisation)
    rates = ExchangeRate.objects.filter(organisation=organisation, base=organisation.currency)
    days = {each.valid_on for each in given}
    there = {Given(*row) for row in rates.filter(valid_on__in=days).values_list("currency", "valid_on", "rate")}
    keys = {(rate.currency, rate.valid_on) for rate in there}
    changed = [each for each in given if each not in there]
    ExchangeRate.objects.bulk_create(
        [
            ExchangeRate(
                organisation=organisation,
                base=organisation.currency,
                entered_by=user,
                entered_at=clock.now,
                **each._asdict(),
            )
            for each in changed
        ],
        update_conflicts=True,
        unique_fields=["organisation", "base", "currency", "valid_on"],
        update_fields=["rate", "entered_by", "entered_at"],
        batch_size=AT_ONCE,
    )
    replaced = sum((each.currency, each.valid_on) in keys for each in changed)
    return Saved(len(changed) - replaced, replaced, len(given) - len(changed))


def delete(organisation: Organisation, pk: int) -> ExchangeRate | None:
    """The deleted rate, which the one before it follows; None when it was not there any more."""
    alone(organisation)
    rate = ExchangeRate.objects.filter(organisation=organisation, pk=pk).first()
    if rate:
        ExchangeRate.objects.filter(organisation=organisation, pk=pk).delete()
    return rate


def change_currency(organisation: Organisation, code: str) -> None:
    """Another currency of the organisation; the rates into the old one are kept, and hold again if it comes back."""
    alone(organisation)
    organisation.currency = code
    organisation.save(update_fields=["currency"])


def newest(organisation: Organisation) -> str:
    """When the last rate was entered: what a page tells `enter` that it has seen."""
    last = ExchangeRate.objects.filter(organisation=organisation).order_by("-entered_at").first()
    return last.entered_at.isoformat() if last else ""


# ---- What the organisation has


@dataclass(frozen=True)
class Currency:
    """A currency of open deals, or one that has a rate: deals with an amount in it, what they add up to, its rates.

    `value` is in the organisation's currency, None without a rate. `next_on`: from when a later rate holds.
    """

    code: str
    deals: int
    amount: Decimal
    value: Decimal | None
    rate: ExchangeRate | None
    next_on: date | None
    rates: int
    is_own: bool
    age: int  # days since the rate's day

    @property
    def is_old(self) -> bool:
        return self.rate is not None and self.age > OLD.days

    @property
    def is_missing(self) -> bool:
        return bool(self.deals) and self.rate is None and not self.is_own

    @property
    def inverse(self) -> Decimal | None:
        return 1 / self.rate.rate if self.rate else None


def currencies(organisation: Organisation, clock: Clock) -> list[Currency]:
    """Those of open deals, the most deals first, then others with rates. Three statements."""
    own, today = organisation.currency, clock.today
    found = organisation.deals.open().filter(amount__isnull=False).order_by().values("currency")
    sums = {row["currency"]: row for row in found.annotate(deals=Count("pk"), amount=Sum("amount"))}
    rates = ExchangeRate.objects.filter(organisation=organisation, base=own).order_by().values("currency")
    later = Min("valid_on", filter=Q(valid_on__gt=today))
    history = {row["currency"]: row for row in rates.annotate(n=Count("pk"), next_on=later)}
    valid = in_force(organisation, today)
    listed = []
    for code in dict.fromkeys([own, *sorted(sums, key=lambda c: (-sums[c]["deals"], c)), *sorted(history)]):
        rate, of_deals, entered = valid.get(code), sums.get(code), history.get(code)
        amount = of_deals["amount"] if of_deals else Decimal(0)
        listed.append(
            Currency(
                code=code,
                deals=of_deals["deals"] if of_deals else 0,
                amount=amount,
                value=amount if code == own else round(amount * rate.rate, 2) if rate else None,
                rate=rate,
                next_on=entered["next_on"] if entered else None,
                rates=entered["n"] if entered else 0,
                is_own=code == own,
                age=(today - rate.valid_on).days if rate else 0,
            )
        )
    return listed


def history(organisation: Organisation, currency: str) -> QuerySet[ExchangeRate]:
    """The rates of a currency into the organisation's, the newest day first."""
    rates = ExchangeRate.objects.filter(organisation=organisation, base=organisation.currency, currency=currency)
    return rates.select_related("entered_by").order_by("-valid_on")
