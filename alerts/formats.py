"""Money, numbers, dates and distances in time as the reader's language writes them (Babel)."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, wraps
from typing import Any, ParamSpec
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton, format_time, format_timedelta
from babel.lists import format_list
from babel.numbers import (
    format_currency,
    format_decimal,
    format_percent,
    get_currency_precision,
    get_currency_symbol,
    is_currency,
)
from django.utils.translation import get_language, gettext, ngettext

LOCALES = {"en": Locale.parse("en_GB"), "fr": Locale.parse("fr_FR")}


Args = ParamSpec("Args")


def per_language(function: Callable[Args, str]) -> Callable[Args, str]:
    """Remember results: a list repeats the same days and amounts, and Babel takes its time."""

    @lru_cache(maxsize=4096)
    def remember(language: str | None, *args: Any, **kwargs: Any) -> str:
        return function(*args, **kwargs)

    @wraps(function)
    def wrapper(*args: Args.args, **kwargs: Args.kwargs) -> str:
        return remember(get_language(), *args, **kwargs)  # type: ignore[arg-type]

    return wrapper


def active_locale() -> Locale:
    return LOCALES.get((get_language() or "en")[:2], LOCALES["en"])


@per_language
def money(amount: Decimal | int, currency: str) -> str:
    """An amount in its own currency, without decimals when it is whole. An unknown currency code is shown as it is."""
    locale = active_locale()
    if not is_currency(currency):
        return f"{number(amount)} {currency}".strip()
    whole = amount == int(amount)
    digits = 0 if whole else get_currency_precision(currency)
    pattern = locale.currency_formats["standard"].pattern.split(";")[0]
    pattern = pattern.replace(".00", "." + "0" * digits if digits else "")
    if get_currency_symbol(currency, locale)[-1].isalpha() and pattern.startswith("¤#"):  # CHF 500, yet US$500
        pattern = pattern.replace("¤", "¤\u00a0")
    return format_currency(amount, currency, format=pattern, locale=locale, currency_digits=False)


def about(amount: Decimal, currency: str) -> str:
    """A converted amount, which no cents make more exact: "≈ €9,213"."""
    shown = amount if abs(amount) < 100 else amount.quantize(Decimal(1))
    return f"≈\u00a0{money(shown, currency)}"


@per_language
def rate(value: Decimal) -> str:
    """An exchange rate to six digits that say something: "1.0862", "0.0000345213"."""
    return format_decimal(value, format="@#####", locale=active_locale())


@per_language
def number(value: Decimal | int | float) -> str:
    return format_decimal(value, locale=active_locale())


@per_language
def percent(share: float) -> str:
    """A share of 1 in whole percent: "33%"."""
    return format_percent(round(share, 2), locale=active_locale())


@per_language
def day(value: date, today: date | None = None) -> str:
    """A calendar day; the year is left out when it is that of `today`."""
    skeleton = "MMMd" if today and value.year == today.year else "yMMMd"
    return format_skeleton(skeleton, value, locale=active_locale())


def long_day(value: date) -> str:
    return format_date(value, format="full", locale=active_locale())


def moment(value: datetime, zone: ZoneInfo, today: date | None = None) -> str:
    """A day and a time of day in a zone: the reader's."""
    local = value.astimezone(zone)
    return f"{day(local.date(), today)}, {format_time(local, 'short', locale=active_locale())}"


@per_language
def days(count: int) -> str:
    """A number and its unit, never parted at the end of a line."""
    text = ngettext("%(count)s day", "%(count)s days", count) % {"count": number(count)}
    return text.replace(" ", "\u00a0")


@per_language
def days_apart(value: date, today: date) -> str:
    """How far a day is from today: "yesterday", "9 days ago", "3 weeks ago", "in 2 months"."""
    distance = (value - today).days
    match distance:
        case 0:
            return gettext("today")
        case -1:
            return gettext("yesterday")
        case 1:
            return gettext("tomorrow")
    # Days up to two weeks, weeks up to two months, months up to two years.
    delta = timedelta(days=distance)
    return format_timedelta(delta, granularity="day", threshold=2, add_direction=True, locale=active_locale())


def time_apart(value: datetime, now: datetime) -> str:
    """How long ago a moment was: "just now", "4 minutes ago", "2 hours ago"."""
    delta = value - now
    if abs(delta) < timedelta(minutes=1):
        return gettext("just now")
    return format_timedelta(
        delta, granularity="minute", threshold=1, add_direction=True, format="short", locale=active_locale()
    )


def join(parts: list[str]) -> str:
    """ "A, B and C" in the reader's language."""
    return _join(*parts) if parts else ""


@per_language
def _join(*parts: str) -> str:
    return format_list(parts, locale=active_locale())


def initials(name: str) -> str:
    """Of the first word and the last one."""
    words = name.replace("-", " ").split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


def tone(pk: int | None) -> int:
    """One of six colours for an avatar, always the same for the same colleague."""
    return (pk or 0) % 6
