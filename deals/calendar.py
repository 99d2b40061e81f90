"""Which days are worked, country by country: neither weekend nor public holiday."""

import warnings
from datetime import date, timedelta
from functools import lru_cache

from holidays import country_holidays

FIRST = date(1990, 1, 1)


@lru_cache(maxsize=64)
def working_days(country: str, year: int) -> tuple[date, ...]:
    """The days that are worked in `country` (ISO 3166, two letters), ascending, from FIRST to the end of `year`.

    Holidays of the whole country, with its own weekend as it was at the time, and weekend days worked in exchange.
    Where the country's holidays are not known: Monday to Friday.
    """
    every_day = (FIRST + timedelta(n) for n in range((date(year, 12, 31) - FIRST).days + 1))
    try:
        with warnings.catch_warnings():  # of some countries only some years are known: of the others, the weekends
            warnings.simplefilter("ignore", UserWarning)
            known = country_holidays(country.upper(), years=range(FIRST.year, year + 1))
    except NotImplementedError:
        return tuple(day for day in every_day if day.weekday() < 5)
    return tuple(day for day in every_day if known.is_working_day(day))


@lru_cache(maxsize=64)
def array(country: str, year: int) -> str:
    """`working_days` as Postgres writes an array."""
    return "{" + ",".join(map(date.isoformat, working_days(country, year))) + "}"
