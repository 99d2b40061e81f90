"""The question that the address bar asks of the deal list: parsed, canonical, and one Q per facet."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache, reduce
from operator import and_, or_
from typing import Any

from django.db.models import F, OrderBy, Q
from django.db.models.lookups import Exact, GreaterThan
from django.http import QueryDict
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.http import urlencode
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.params import whole
from alerts.reader import Reader
from alerts.rules import COUNT_SHIFT, RULES
from alerts.snoozing import snoozed_deals
from deals import search
from deals.querysets import DealQuerySet

BITS: Mapping[str, int] = {rule.kind: 1 << rule.bit for rule in RULES}
NONE = "none"  # the facet value for "no owner", "no stage", "no close date"
VIEWS = ("open", "risk", "clear", "mine", "snoozed")
PLACES = ("owner", "team", "pipeline", "stage")  # facets that are counted together, by the deal's place
FACETS = ("alert", *PLACES, "company", "amount", "close")
PAGE_SIZE = 50
# The first column is the one that the head of the table shows as sorted.
SORTS: Mapping[str, tuple[str, ...]] = {
    "risk": ("risk", "value"),
    "amount": ("value",),
    "close": ("close_on",),
    "last": ("last_interaction_at",),
}
DEFAULT_SORT = "-risk"
# From the first up to but without the second, in the organisation's currency; None: no bound.
BANDS: Mapping[str, tuple[int | None, int | None]] = {
    "under-10k": (None, 10_000),
    "10k-50k": (10_000, 50_000),
    "50k-100k": (50_000, 100_000),
    "over-100k": (100_000, None),
}
PERIODS = ("overdue", "this_month", "next_month", "this_quarter", "later")
LONGEST = 6_000  # characters of a stored question


def periods(today: date) -> dict[str, tuple[date | None, date | None]]:
    """Close dates from the first day up to but without the second, whole calendar months and quarters."""
    month, next_month, after_next = (_month(today, n) for n in range(3))
    quarter = today.replace(month=today.month - (today.month - 1) % 3, day=1)
    next_quarter = _month(quarter, 3)
    return {
        "overdue": (None, today),
        "this_month": (month, next_month),
        "next_month": (next_month, after_next),
        "this_quarter": (quarter, next_quarter),
        "later": (max(after_next, next_quarter), None),
    }


def _month(day: date, later: int) -> date:
    """The first day of the month that comes `later` months after the day's own."""
    years, month = divmod(day.month - 1 + later, 12)
    return date(day.year + years, month + 1, 1)


def has_any(bits: int) -> Q:
    return Q(GreaterThan(F("alert_mask").bitand(bits), 0))


def has_all(bits: int) -> Q:
    return Q(Exact(F("alert_mask").bitand(bits), bits))


def _between(column: str, start: Any, end: Any) -> Q:
    """`start` ≤ column < `end`, either of them None for no bound."""
    q = Q(**{f"{column}__isnull": False})
    if start is not None:
        q &= Q(**{f"{column}__gte": start})
    return q & Q(**{f"{column}__lt": end}) if end is not None else q


@dataclass(frozen=True, slots=True)
class DealQuery:
    """Unknown parts of an address are left out and named in `refused`, as sentences. OR inside a facet, AND between.

    `saved`: the saved view that it began with (an id), or nothing. `alert` holds kinds, `match` says whether any or all
    of them; `owner`, `team`, `pipeline`, `stage` and `company` hold ids as text, or "none"; `amount` names of BANDS and
    `close` PERIODS, or "none". The bounds are inclusive, and one more choice of their facet. `sort` begins with "-"
    when descending.
    """

    saved: int | None = None
    view: str = "open"
    alert: tuple[str, ...] = ()
    match: str = "any"
    owner: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    pipeline: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    company: tuple[str, ...] = ()
    amount: tuple[str, ...] = ()
    amount_from: Decimal | None = None
    amount_to: Decimal | None = None
    close: tuple[str, ...] = ()
    close_from: date | None = None
    close_to: date | None = None
    q: str = ""
    sort: str = DEFAULT_SORT
    page: int = 1
    refused: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: QueryDict) -> "DealQuery":
        refused: list[str] = []

        def keep(name: str, known: Any, sentence: str) -> tuple[str, ...]:
            values = dict.fromkeys(value for value in data.getlist(name) if value)
            refused.extend(sentence % {"value": value[:80]} for value in values if not known(value))
            return tuple(sorted(value for value in values if known(value)))

        def one(name: str, default: str, known: Any, sentence: str) -> str:
            value = data.get(name) or default
            if known(value):
                return value
            refused.append(sentence % {"value": value[:80]})
            return default

        def bounds(name: str, read: Any, sentence: str) -> tuple[Any, Any]:
            texts = {end: data.get(f"{name}_{end}", "").strip() for end in ("from", "to")}
            values = {end: read(text) for end, text in texts.items()}
            refused.extend(sentence % {"value": texts[end][:80]} for end in texts if texts[end] and values[end] is None)
            if None not in values.values() and values["from"] > values["to"]:
                refused.append(_("“%(from)s” comes after “%(to)s”; this filter was left out.") % texts)
                return None, None
            return values["from"], values["to"]

        amounts = bounds("amount", _amount, _("“%(value)s” is not an amount; this filter was left out."))
        closes = bounds("close", read_day, _("“%(value)s” is not a date; this filter was left out."))
        return cls(
            saved=int(one("saved", "0", is_number, _("There is no saved view “%(value)s”."))) or None,
            view=one("view", "open", VIEWS.__contains__, _("There is no view “%(value)s”. All open deals are shown.")),
            alert=keep("alert", BITS.__contains__, _("There is no alert “%(value)s”; this filter was left out.")),
            match=one("match", "any", ("any", "all").__contains__, _("“%(value)s” is neither any nor all.")),
            owner=keep("owner", _is_id, _("There is no owner “%(value)s”; this filter was left out.")),
            team=keep("team", _is_id, _("There is no team “%(value)s”; this filter was left out.")),
            pipeline=keep("pipeline", _is_id, _("There is no pipeline “%(value)s”; this filter was left out.")),
            stage=keep("stage", _is_id, _("There is no stage “%(value)s”; this filter was left out.")),
            company=keep("company", _is_id, _("There is no company “%(value)s”; this filter was left out.")),
            amount=keep(
                "amount", (*BANDS, NONE).__contains__, _("There is no amount “%(value)s”; this filter was left out.")
            ),
            amount_from=amounts[0],
            amount_to=amounts[1],
            close=keep(
                "close", (*PERIODS, NONE).__contains__, _("There is no period “%(value)s”; this filter was left out.")
            ),
            close_from=closes[0],
            close_to=closes[1],
            q=" ".join(data.get("q", "").replace("\x00", "").split())[:200],
            sort=one(
                "sort",
                DEFAULT_SORT,
                lambda value: value.removeprefix("-") in SORTS,
                _("Deals cannot be sorted by “%(value)s”. They are sorted by risk."),
            ),
            page=int(
                one(
                    "page",
                    "1",
                    lambda value: is_number(value) and 0 < int(value) < 10**9,
                    _("There is no page “%(value)s”. This is the first one."),
                )
            ),
            refused=tuple(refused),
        )

    @classmethod
    def stored(cls, text: str) -> "DealQuery":
        """What a saved view asks, or a form that carries a question."""
        return _stored(get_language(), text[:LONGEST])

    @property
    def words(self) -> Q:
        """Parts of words, in any order; a word without letters, say a lone accent, is in none."""
        words = search.plain(self.q).split()[:8] or ["\n"] * bool(self.q)
        return reduce(and_, (Q(search__contains=word) for word in words), Q())

    def facet(self, name: str, reader: Reader) -> Q:
        """The condition of one facet; empty when nothing is chosen."""
        match name:
            case "view":
                return self._of_view(reader)
            case "alert":
                bits = sum(BITS[kind] for kind in self.alert)
                return Q() if not bits else has_all(bits) if self.match == "all" else has_any(bits)
            case "q":
                return self.words
            case "team":
                choices = [Q(owner__in=reader.owners_in(self.team) or [0])] if self.team else []
                choices += [~Q(owner__in=reader.owners_in_teams or [0])] if NONE in self.team else []
            case "amount":
                choices = [_between("value", *BANDS[band]) for band in self.amount if band != NONE]
                choices += [Q(amount__isnull=True)] if NONE in self.amount else []
                if (self.amount_from, self.amount_to) != (None, None):
                    above = None if self.amount_to is None else self.amount_to + Decimal("0.01")
                    choices.append(_between("value", self.amount_from, above))
            case "close":
                spans = periods(reader.today)
                choices = [_between("close_on", *spans[period]) for period in self.close if period != NONE]
                choices += [Q(close_on__isnull=True)] if NONE in self.close else []
                if (self.close_from, self.close_to) != (None, None):
                    last = self.close_to
                    after = None if last in (None, date.max) else last + timedelta(1)
                    choices.append(_between("close_on", self.close_from, after))
            case _:
                chosen = getattr(self, name)
                ids = [int(value) for value in chosen if value != NONE]
                choices = [Q(**{f"{name}__in": ids})] if ids else []
                choices += [Q(**{f"{name}__isnull": True})] if NONE in chosen else []
        return reduce(or_, choices, Q())

    def _of_view(self, reader: Reader) -> Q:
        match self.view:
            case "risk":
                return Q(alert_mask__gt=0)
            case "clear":
                return Q(alert_mask=0)
            case "mine":
                return Q(owner__in=reader.mine or [0])  # an id of nobody
            case "snoozed":
                return Q(pk__in=snoozed_deals(reader.organisation))
        return Q()

    def matching(self, reader: Reader, without: str | Collection[str] = ()) -> Q:
        """All facets, or all but some: the counts beside a facet's options leave that facet out."""
        left_out = {without} if isinstance(without, str) else without
        return reduce(and_, (self.facet(name, reader) for name in ("view", *FACETS, "q") if name not in left_out), Q())

    def ordered(self, deals: DealQuerySet) -> DealQuerySet:
        """Empty values last in either direction; ties in a fixed order."""
        descending = self.sort.startswith("-")
        deals = deals.alias(risk=F("alert_mask").bitrightshift(COUNT_SHIFT))
        columns = SORTS[self.sort.removeprefix("-")]
        order = [OrderBy(F(column), descending=descending, nulls_last=True) for column in columns]
        return deals.order_by(*order, "pk")

    # Addresses

    def with_(self, **changes: Any) -> "DealQuery":
        """Another question; any change but of the page itself goes back to the first page."""
        return replace(self, **{"page": 1, "refused": (), **changes})

    def without(self, facet: str, value: str) -> "DealQuery":
        return self.with_(**{facet: tuple(kept for kept in getattr(self, facet) if kept != value)})

    def params(self) -> list[tuple[str, str]]:
        """What differs from the default, in a fixed order."""
        pairs: list[tuple[str, str]] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "refused" and value != field.default:
                pairs += [(field.name, _text(item)) for item in (value if isinstance(value, tuple) else (value,))]
        return pairs

    @property
    def url(self) -> str:
        """Without any parameter the list opens with the reader's start view, so the plain list names its view."""
        return f"{reverse('alerts:deals')}?{urlencode(self.params() or [('view', 'open')])}"

    @property
    def text(self) -> str:
        """The question as a saved view stores it: of its page and of the view it began with, nothing."""
        return urlencode(self.with_(saved=None).params())

    @property
    def whole(self) -> str:
        """The question as a form carries it."""
        return urlencode(self.params())

    @property
    def is_filtered(self) -> bool:
        return self.text != self.cleared.text

    @property
    def everything(self) -> "DealQuery":
        return DealQuery(sort=self.sort)

    @property
    def cleared(self) -> "DealQuery":
        return DealQuery(view=self.view, sort=self.sort)


@lru_cache(maxsize=4096)
def _stored(language: str | None, text: str) -> DealQuery:
    """A page reads a dozen saved views; what is wrong with one is said in the reader's language."""
    return DealQuery.parse(QueryDict(text))


def is_number(value: str) -> bool:
    return whole(value) is not None


def _is_id(value: str) -> bool:
    return value == NONE or is_number(value)


def _amount(text: str) -> Decimal | None:
    return Decimal(text.replace(",", ".")) if re.fullmatch(r"\d{1,15}([.,]\d{1,2})?", text, re.ASCII) else None


def read_day(text: str) -> date | None:
    """A date as a browser sends it; one that the calendar does not have is none."""
    try:
        return parse_date(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        return None


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value)
