"""Days are calendar days, or the working days of a country; counted alike in Postgres and by a loop."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import ProgrammingError, connection, transaction
from django.db.models import DateField, F, IntegerField, Value
from django.db.models.functions import Cast, Length
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Organisation
from deals import calendar
from deals.clock import Clock
from tests.world import World

CALENDAR_DAYS = Clock(datetime(2026, 11, 22, 11, tzinfo=UTC), ZoneInfo("Europe/Paris"))
LAST = date(2036, 12, 31)
DAY = timedelta(days=1)


def clock(country):
    return CALENDAR_DAYS.with_calendar(country) if country else CALENDAR_DAYS


def ask(clock, method, asked):
    """What Postgres answers to each (date, days) of `asked`: integers, and integers from a column."""
    with clock.counting():
        Organisation.objects.get_or_create(name="Test")
        columns = {}
        for n, (when, days) in enumerate(asked):
            start = Cast(Value(when), DateField())
            columns[f"number_{n}"] = getattr(clock, method)(start, days)
            columns[f"column_{n}"] = getattr(clock, method)(start, Length("name") + Value(days - 4, IntegerField()))
        [row] = Organisation.objects.annotate(**columns).values(*columns)[:1]
    answers = [row[f"number_{n}"] for n in range(len(asked))]
    assert answers == [row[f"column_{n}"] for n in range(len(asked))]
    return answers


# ---- Which days are worked

NOT_WORKED = {
    "FR": "01-01 04-06 05-01 05-08 05-14 05-25 07-14 08-15 11-11 12-25 07-11 07-12",
    "US": "01-01 01-19 05-25 06-19 07-03 09-07 11-11 11-26 12-25 07-11 07-12",
    "NZ": "01-02 02-06 04-03 04-06 04-27 06-01 07-10 10-26 12-25 12-28 07-11 07-12",
    "AE": "01-01 12-02 12-03 07-11 07-12",
    "SA": "09-23 07-10 07-11",
}
WORKED = {
    "FR": "01-02 04-03 05-04 07-13 11-26 12-28 07-10",
    "US": "01-02 04-06 05-01 07-06 07-14 11-27",
    "NZ": "05-01 07-14 11-11 11-26 07-13",
    "AE": "05-01 07-10 07-14 12-25",
    "SA": "07-12 12-27",
}


@pytest.mark.parametrize("country", NOT_WORKED)
def test_a_countrys_working_days_leave_out_its_weekend_and_public_holidays(country):
    worked = set(calendar.working_days(country, 2036))
    for days, expected in ((NOT_WORKED[country], False), (WORKED[country], True)):
        assert {text: date.fromisoformat(f"2026-{text}") in worked for text in days.split()} == dict.fromkeys(
            days.split(), expected
        )


def test_a_weekend_that_a_country_moved_is_as_it_was_at_the_time():
    worked = set(calendar.working_days("AE", 2036))
    friday, sunday = date(2021, 6, 18), date(2021, 6, 20)
    assert (friday in worked, sunday in worked) == (False, True)
    friday, sunday = date(2022, 6, 17), date(2022, 6, 19)
    assert (friday in worked, sunday in worked) == (True, False)


def test_a_weekend_day_worked_in_exchange_is_a_working_day():
    worked = set(calendar.working_days("CN", 2036))
    sunday, monday = date(2025, 1, 26), date(2025, 2, 3)  # the spring festival
    assert (sunday in worked, monday in worked) == (True, False)


@pytest.mark.parametrize("country", ["FR", "ZZ"])
def test_the_calendar_is_sorted_and_reaches_from_1990_to_the_end_of_its_year(country):
    days = calendar.working_days(country, 2036)
    assert list(days) == sorted(set(days))
    assert (days[0] - calendar.FIRST, LAST - days[-1]) <= (2 * DAY, 2 * DAY)


def test_where_a_countrys_holidays_are_not_known_only_weekends_are_left_out():
    assert calendar.working_days("ZZ", 1990)[:6] == tuple(date(1990, 1, n) for n in (1, 2, 3, 4, 5, 8))


def test_the_country_is_named_in_either_case():
    assert calendar.working_days("fr", 2026) == calendar.working_days("FR", 2026)


# ---- Counting

# country · from · days · the first date on which so many have passed since
AFTER = [
    (None, "2026-05-01", 0, "2026-05-01"),
    (None, "2026-05-01", 1, "2026-05-02"),
    (None, "2026-05-01", 10, "2026-05-11"),
    ("FR", "2026-07-06", 4, "2026-07-10"),  # Monday to Friday of one week
    ("FR", "2026-07-06", 5, "2026-07-13"),  # over a weekend
    ("FR", "2026-07-06", 6, "2026-07-15"),  # over the 14th of July
    ("FR", "2026-07-13", 1, "2026-07-15"),
    ("FR", "2026-07-14", 1, "2026-07-15"),  # from a holiday
    ("FR", "2026-04-30", 1, "2026-05-04"),  # 1 May is a Friday
    ("FR", "2026-04-02", 1, "2026-04-03"),  # Good Friday is worked
    ("FR", "2026-04-02", 2, "2026-04-07"),  # Easter Monday is not
    ("FR", "2026-07-11", 1, "2026-07-13"),  # from a Saturday
    ("FR", "2026-07-12", 1, "2026-07-13"),  # and from a Sunday: the Monday is the first
    ("FR", "2026-07-12", 0, "2026-07-12"),  # none need pass
    ("FR", "2026-12-24", 1, "2026-12-28"),
    ("FR", "2026-12-31", 1, "2027-01-04"),
    ("US", "2026-07-02", 1, "2026-07-06"),  # 4 July is a Saturday: Friday is off
    ("US", "2026-07-13", 1, "2026-07-14"),
    ("US", "2026-11-25", 1, "2026-11-27"),
    ("NZ", "2026-04-02", 1, "2026-04-07"),  # Good Friday and Easter Monday
    ("NZ", "2026-04-24", 1, "2026-04-28"),  # Anzac Day is a Saturday: Monday is off
    ("AE", "2021-06-17", 1, "2021-06-20"),  # Friday and Saturday
    ("AE", "2022-06-17", 1, "2022-06-20"),  # since 2022 Saturday and Sunday
    ("ZZ", "2026-12-24", 1, "2026-12-25"),
    ("ZZ", "2026-12-25", 1, "2026-12-28"),
]
# country · until · days · the first date from which at most so many remain
BEFORE = [
    (None, "2026-05-11", 0, "2026-05-11"),
    (None, "2026-05-11", 10, "2026-05-01"),
    ("FR", "2026-07-10", 4, "2026-07-06"),
    ("FR", "2026-07-13", 5, "2026-07-06"),
    ("FR", "2026-07-15", 1, "2026-07-13"),  # on the 13th only the 15th remains
    ("FR", "2026-07-14", 0, "2026-07-13"),  # on the 13th no working day remains
    ("FR", "2026-07-15", 0, "2026-07-15"),
    ("FR", "2026-07-12", 0, "2026-07-10"),  # a Sunday: none remains from Friday on
    ("FR", "2026-07-12", 1, "2026-07-09"),
    ("FR", "2026-05-04", 1, "2026-04-30"),
    ("US", "2026-07-06", 1, "2026-07-02"),
    ("NZ", "2026-04-07", 1, "2026-04-02"),
    ("AE", "2021-06-20", 1, "2021-06-17"),
    ("ZZ", "2026-12-28", 1, "2026-12-25"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "country", "when", "days", "expected"),
    [("after", *row) for row in AFTER] + [("before", *row) for row in BEFORE],
)
def test_days_are_counted(method, country, when, days, expected):
    assert ask(clock(country), method, [(date.fromisoformat(when), days)]) == [date.fromisoformat(expected)]


OUTSIDE = [
    ("after", "1989-12-25", 3, "1989-12-28"),
    ("before", "1989-12-25", 3, "1989-12-22"),
    ("before", "1990-01-04", 10, "1989-12-25"),
    ("after", "2036-12-30", 10, "2037-01-09"),
    ("after", "2040-05-01", 3, "2040-05-04"),
    ("before", "2040-05-04", 3, "2040-05-01"),
    ("after", "9999-12-21", 10, "9999-12-31"),
    ("before", "0001-01-11", 10, "0001-01-01"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "when", "days", "expected"), OUTSIDE)
def test_outside_the_calendar_days_are_calendar_days(method, when, days, expected):
    assert ask(clock("FR"), method, [(date.fromisoformat(when), days)]) == [date.fromisoformat(expected)]


@pytest.mark.django_db
@pytest.mark.parametrize("country", [None, "FR"])
@pytest.mark.parametrize("method", ["after", "before"])
def test_from_no_date_nothing_is_counted(method, country):
    assert ask(clock(country), method, [(None, 3)]) == [None]


def passed(worked, start, end):
    """Working days in (start, end]."""
    return sum(start + n * DAY in worked for n in range(1, (end - start).days + 1))


def after_by_counting(worked, when, days):
    end = when
    while passed(worked, when, end) < days:
        end += DAY
    return end


def before_by_counting(worked, when, days):
    start = when
    while passed(worked, start - DAY, when) <= days:
        start -= DAY
    return start


dates = st.dates(date(1991, 1, 1), date(2035, 12, 31))


@pytest.mark.django_db
@settings(max_examples=10)
@given(
    country=st.sampled_from(["FR", "US", "NZ", "AE", "SA", "CN", "ZZ"]),
    asked=st.lists(st.tuples(dates, st.integers(0, 60)), min_size=20, max_size=40),
)
def test_postgres_counts_as_a_loop_does(country, asked):
    worked = set(calendar.working_days(country, LAST.year))
    for method, by_counting in (("after", after_by_counting), ("before", before_by_counting)):
        assert ask(clock(country), method, asked) == [by_counting(worked, when, days) for when, days in asked]


# ---- In a statement


@pytest.mark.django_db
def test_the_calendar_reaches_a_statement_once_however_often_it_is_asked():
    april = date(2026, 4, 1)
    with CALENDAR_DAYS.with_calendar("FR").counting(), connection.execute_wrapper(seen := Seen()):
        ask(clock("FR"), "after", [(april, n) for n in range(9)])
    [sql] = [sql for sql in seen if "working_calendar" in sql]
    assert sql.count("::date[]") == 1


class Seen(list):
    def __call__(self, execute, sql, params, many, context):
        self.append(sql)
        return execute(sql, params, many, context)


@pytest.mark.django_db
def test_without_its_calendar_a_statement_fails_instead_of_counting_otherwise():
    deals = World().organisation.deals.annotate(due=clock("FR").after(F("created_on"), 3))
    with pytest.raises(ProgrammingError, match="working_calendar"), transaction.atomic():
        list(deals)


@pytest.mark.django_db
def test_a_clock_gives_its_calendar_to_statements_with_named_parameters():
    france = clock("FR")
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {france.with_clause}two AS (SELECT 2) "
            "SELECT days[width_bucket(%(today)s::date, days) + 1] FROM working_calendar",
            {**france.sql_params(), "today": date(2026, 7, 13)},
        )
        assert cursor.fetchone() == (date(2026, 7, 15),)
    assert (CALENDAR_DAYS.with_clause, CALENDAR_DAYS.sql_params()) == ("", {})


@pytest.mark.parametrize("country", ["IN", "in", "XX", ""])
def test_a_country_of_which_little_is_known_has_its_weekends_at_least(country):
    days = calendar.working_days(country, 2036)
    assert date(1995, 3, 14) in days  # a Tuesday
    assert date(1995, 3, 12) not in days  # a Sunday
