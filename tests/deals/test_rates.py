"""Exchange rates: which one holds, what files say, and `Deal.value` whatever arrives or changes."""

import io
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Thread

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.tenancy import tenant
from alerts.tasks import convert_amounts, sweep
from deals import rate_files, rates
from deals.clock import Clock
from deals.models import Deal, ExchangeRate, Source
from deals.rates import Given
from tests.world import World

TODAY = date(2026, 11, 22)


@pytest.fixture
def world(db: None) -> World:
    """Deals of 1,000 in euros, dollars and francs, and one without an amount; the organisation's currency is EUR."""
    world = World(now=datetime.now(UTC))  # the worker's clock is the machine's
    for ref, currency in (("euro", "EUR"), ("dollar", "USD"), ("franc", "CHF"), ("none", "")):
        world.deal(ref, currency=currency)
    world.deal("empty", amount=None)
    return world


def enter(world: World, currency: str, rate: str, days_ago: int = 1) -> None:
    user = User.objects.filter(email="ana@vigie.example").first() or User.objects.create_user("ana@vigie.example")
    with world.inside():
        given = Given(currency, world.day(days_ago), Decimal(rate))
        rates.enter(world.organisation, given, user, world.clock)


def values(world: World) -> dict[str, Decimal | None]:
    with world.inside():
        return dict(Deal.objects.filter(organisation=world.organisation).values_list("external_id", "value"))


def converted(world: World) -> dict[str, Decimal | None]:
    convert_amounts(world.organisation.pk)
    return values(world)


# ---- Values


def test_a_deal_in_the_own_currency_has_its_amount_as_value_and_others_none_without_a_rate(world: World) -> None:
    assert values(world) == {"euro": Decimal(1000), "dollar": None, "franc": None, "none": None, "empty": None}


def test_the_newest_rate_that_holds_today_converts_what_is_stored_and_what_arrives(world: World) -> None:
    enter(world, "USD", "0.5", days_ago=30)
    enter(world, "USD", "0.9213", days_ago=0)
    enter(world, "USD", "7", days_ago=-1)  # from tomorrow on
    assert converted(world)["dollar"] == Decimal("921.30")
    world.deal("later", currency="USD", amount=Decimal("33.33"))
    assert values(world)["later"] == Decimal("30.71")
    world.deal("dollar", currency="USD", amount=Decimal(10), updated_at=world.at(1))
    assert values(world)["dollar"] == Decimal("9.21")


def test_a_closed_deal_has_no_value_and_a_reopened_one_has_it_again(world: World) -> None:
    world.deal("euro", status="won", updated_at=world.at(2))
    assert values(world)["euro"] is None
    world.deal("euro", updated_at=world.at(1))
    assert values(world)["euro"] == Decimal(1000)


def test_without_its_rate_a_deal_has_no_value_any_more(world: World) -> None:
    enter(world, "USD", "0.9")
    assert converted(world)["dollar"] == Decimal(900)
    with world.inside():
        rates.delete(world.organisation, ExchangeRate.objects.get().pk)
    assert converted(world)["dollar"] is None


def test_another_currency_of_the_organisation_converts_everything_anew_and_back(world: World) -> None:
    enter(world, "USD", "0.9")
    with world.inside():
        rates.change_currency(world.organisation, "USD")
    assert converted(world) == {"euro": None, "dollar": Decimal(1000), "franc": None, "none": None, "empty": None}
    with world.inside():
        rates.change_currency(world.organisation, "EUR")
    assert converted(world)["dollar"] == Decimal(900)  # the rate was kept


def test_an_amount_that_no_column_holds_after_conversion_has_no_value(world: World) -> None:
    world.deal("huge", currency="USD", amount=Decimal("900000000000000000"))
    enter(world, "USD", "9999999999")
    assert converted(world)["huge"] is None


def test_the_sweep_converts_when_other_rates_hold_and_then_rests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr(convert_amounts, "delay", rung.append)
    converted(world)
    sweep()
    assert rung == []
    enter(world, "USD", "0.9", days_ago=-1)
    sweep()
    assert rung == []  # it holds from tomorrow on
    tomorrow = replace(world.clock, now=world.clock.now + timedelta(days=1))
    with world.inside():
        assert rates.is_outdated(world.organisation, tomorrow)
    enter(world, "USD", "0.8", days_ago=0)
    sweep()
    assert rung == [world.organisation.pk]
    converted(world)
    sweep()
    assert rung == [world.organisation.pk]


def test_converting_goes_on_part_by_part(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "AT_ONCE", 2)
    enter(world, "USD", "0.9")
    enter(world, "CHF", "1.1")
    found = converted(world)
    assert (found["dollar"], found["franc"]) == (Decimal(900), Decimal(1100))


def test_only_what_differs_is_written(world: World) -> None:
    enter(world, "USD", "0.9")
    converted(world)
    with world.inside(), connection.cursor() as cursor:
        rates.convert(cursor, world.organisation.pk, list(Deal.objects.values_list("pk", flat=True)), world.clock)
        assert cursor.rowcount == 0


def test_one_deal_and_many_take_the_same_statements(world: World) -> None:
    def statements(*refs: str) -> int:
        model = world.deal("model", currency="USD")
        with CaptureQueriesContext(connection) as captured:
            world.write(deals=[replace(model, external_id=ref, updated_at=world.at(0)) for ref in refs])
        return len(captured)

    assert statements("a") == statements("b", "c", "d")


def test_other_organisations_rates_do_not_count(world: World) -> None:
    other = World(now=world.clock.now)
    other.deal("dollar", currency="USD")
    enter(world, "USD", "0.9")
    assert converted(other)["dollar"] is None
    with other.inside():
        assert rates.in_force(other.organisation, other.clock.today) == {}


@pytest.mark.django_db(transaction=True)
def test_a_deal_that_arrives_while_a_rate_is_being_saved_gets_the_new_one() -> None:
    world = World(now=datetime.now(UTC))
    world.deal("dollar", currency="USD")

    def arrive() -> None:
        world.deal("late", currency="USD")
        connection.close()

    thread = Thread(target=arrive)
    with tenant(world.organisation):
        rates.alone(world.organisation)
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()  # it waits
        user = User.objects.create_user("ana@vigie.example")
        given = Given("USD", world.day(1), Decimal("0.5"))
        rates.enter(world.organisation, given, user, world.clock)
    thread.join()
    assert values(world)["late"] == Decimal(500)


# ---- Entering


def test_a_rate_of_the_same_day_is_replaced_and_an_equal_one_stays_whose_it_was(world: World) -> None:
    ana, bob = User.objects.create_user("ana@vigie.example"), User.objects.create_user("bob@vigie.example")
    given = Given("USD", world.day(3), Decimal("0.9"))
    with world.inside():
        assert rates.save_all(world.organisation, [given], ana, world.clock) == (1, 0, 0)
        assert rates.save_all(world.organisation, [given], bob, world.clock) == (0, 0, 1)
        assert ExchangeRate.objects.get().entered_by == ana
        better = [given._replace(rate=Decimal("0.91")), Given("CHF", world.day(3), Decimal("1.1"))]
        assert rates.save_all(world.organisation, better, bob, world.clock) == (1, 1, 0)
        assert set(ExchangeRate.objects.values_list("currency", "rate", "entered_by__email")) == {
            ("USD", Decimal("0.91"), bob.email),
            ("CHF", Decimal("1.1"), bob.email),
        }


def test_many_rates_take_as_many_statements_as_one(world: World) -> None:
    user = User.objects.create_user("ana@vigie.example")

    def statements(count: int) -> int:
        many = [Given("USD", world.day(n), Decimal(n)) for n in range(1, count + 1)]
        with world.inside(), CaptureQueriesContext(connection) as captured:
            rates.save_all(world.organisation, many, user, world.clock)
        return len(captured)

    assert statements(1) == statements(300)


def test_what_another_admin_entered_meanwhile_is_a_conflict_until_it_was_seen(world: World) -> None:
    ana, bob = User.objects.create_user("ana@vigie.example"), User.objects.create_user("bob@vigie.example")
    organisation, given = world.organisation, Given("USD", world.day(3), Decimal("0.9"))
    later = replace(world.clock, now=world.clock.now + timedelta(minutes=1))
    with world.inside():
        rates.enter(organisation, Given("CHF", world.day(3), Decimal("1.1")), ana, world.clock)
        seen = rates.newest(organisation)
        rates.enter(organisation, given, bob, later, seen=seen)
        with pytest.raises(rates.Conflict) as conflict:
            rates.enter(organisation, given._replace(rate=Decimal("0.8")), ana, later, seen=seen)
        assert conflict.value.current.entered_by == bob
        rates.enter(organisation, given._replace(rate=Decimal("0.8")), ana, later, seen=rates.newest(organisation))
        assert ExchangeRate.objects.get(currency="USD").rate == Decimal("0.8")


def test_the_page_knows_each_currency_with_its_deals_its_rate_and_its_age(world: World) -> None:
    enter(world, "USD", "0.9", days_ago=41)
    enter(world, "CHF", "1.1", days_ago=40)
    enter(world, "CHF", "1.2", days_ago=-5)
    enter(world, "GBP", "1.15")
    with world.inside():
        listed = {each.code: each for each in rates.currencies(world.organisation, world.clock)}
    assert list(listed) == ["EUR", "", "CHF", "USD", "GBP"]
    assert [(c.code, c.is_old, c.is_missing) for c in listed.values() if c.is_old or c.is_missing] == [
        ("", False, True),
        ("USD", True, False),
    ]
    assert listed["CHF"].value == Decimal(1100)
    assert listed["CHF"].next_on == world.day(-5)
    assert (listed["GBP"].deals, listed["EUR"].deals) == (0, 1)


# ---- Files

ECB_CSV = "Date, USD, JPY, GBP, CHF, ISK, \n02 July 2026, 1.25, 160, 0.8, 0.5, N/A, \n"
ECB_90_DAYS = "Date,USD,GBP,RON,\n2026-07-02,1.25,0.8,N/A,\n2026-07-01,1.6,0.8,5,\n"
ECB_XML = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
                 xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <gesmes:subject>Reference rates</gesmes:subject>
  <Cube><Cube time='2026-07-02'><Cube currency='USD' rate='1.25'/><Cube currency='GBP' rate='0.8'/></Cube></Cube>
</gesmes:Envelope>"""
DAY = date(2026, 7, 2)


def read(text: str, base: str = "EUR") -> rate_files.Found:
    return rate_files.read(text.encode(), base, TODAY)


@pytest.mark.parametrize(
    "text",
    [
        "currency,date,rate\nUSD,2026-07-02,0.8\nGBP,2026-07-02,1.25\n",
        "Devise;Date;Taux\nusd;2026-07-02;0,8\nGBP;2026-07-02;1,25",
        "\n\nUSD\t2026-07-02\t0.8\r\n\r\nGBP\t2026-07-02\t1.25\r\n",
        "\ufeffUSD,2026-07-02,0.8\nGBP,2026-07-02,1.25",
        ECB_XML,
    ],
)
def test_a_table_is_read_however_it_is_parted_and_so_is_what_the_ecb_publishes(text: str) -> None:
    found = read(text)
    assert found.errors == []
    assert found.rates == [Given("USD", DAY, Decimal("0.8")), Given("GBP", DAY, Decimal("1.25"))]


def test_the_ecbs_files_of_a_day_and_of_90_days_leave_out_what_has_no_rate() -> None:
    assert {(r.currency, r.rate) for r in read(ECB_CSV).rates} == {
        ("USD", Decimal("0.8")),
        ("JPY", Decimal("0.00625")),
        ("GBP", Decimal("1.25")),
        ("CHF", Decimal(2)),
    }
    days = read(ECB_90_DAYS).rates
    assert [(r.currency, r.valid_on.day) for r in days] == [("USD", 2), ("GBP", 2), ("USD", 1), ("GBP", 1), ("RON", 1)]


def test_what_a_euro_is_worth_becomes_what_each_currency_is_worth_in_the_own_one() -> None:
    found = read(ECB_90_DAYS, base="GBP")
    assert found.rates[:2] == [Given("EUR", DAY, Decimal("0.8")), Given("USD", DAY, Decimal("0.64"))]
    assert read(ECB_XML, base="XPF").errors == [(0, "The ECB publishes no rate of XPF, your currency.")]


def test_the_ecbs_zip_is_opened_and_a_broken_one_is_told() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("eurofxref.csv", ECB_CSV)
    assert len(rate_files.read(file.getvalue(), "EUR", TODAY).rates) == 4
    [(line, sentence)] = rate_files.read(file.getvalue()[:60], "EUR", TODAY).errors
    assert (line, "ZIP" in sentence) == (0, True)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("USD,2026-02-30,0.9", "“2026-02-30” is no date: write it as 2026-07-31."),
        ("USD,31/07/2026,0.9", "“31/07/2026” is no date: write it as 2026-07-31."),
        ("USD,1998-12-31,0.9", "A rate holds from 1999 at the earliest, and from a year ahead at the latest."),
        ("USD,2028-01-01,0.9", "A rate holds from 1999 at the earliest, and from a year ahead at the latest."),
        ("USD,2026-07-02,zero", "“zero” is no number."),
        ("USD,2026-07-02,NaN", "A rate is more than 0 and less than 10,000,000,000."),
        ("USD,2026-07-02,-1", "A rate is more than 0 and less than 10,000,000,000."),
        ("USD,2026-07-02,0.00000000001", "A rate is more than 0 and less than 10,000,000,000."),
        ("USD,2026-07-02,9999999999.99999999999", "A rate is more than 0 and less than 10,000,000,000."),
        ("USD,2026-07-02,1e400", "A rate is more than 0 and less than 10,000,000,000."),
        ("XQZ,2026-07-02,0.9", "“XQZ” is no currency: write its three letters, such as USD."),
        ("דולר,2026-07-02,0.9", "“דולר” is no currency: write its three letters, such as USD."),
        ("EUR,2026-07-02,1", "EUR is your own currency: its rate is 1."),
        ("USD,2026-07-02", "A line has three parts: currency, date, rate."),
        ("CHF,2026-07-02,7", "CHF has a rate for this day in line 1 already."),
    ],
)
def test_a_wrong_line_is_told_by_its_number(line: str, problem: str) -> None:
    assert read(f"CHF,2026-07-02,1.1\n\n{line}\n").errors == [(3, problem)]


def test_a_currency_that_only_deals_know_can_have_a_rate() -> None:
    found = rate_files.read(b"XQZ,2026-07-02,0.9", "EUR", TODAY, used={"XQZ"})
    assert found.rates == [Given("XQZ", DAY, Decimal("0.9"))]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n \n",
        b"\x00\xff\xfe\x00",
        b"<html><body>Not found</body></html>",
        b"<Cube time='2026-07-02'>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b'<a><Cube time="soon"><Cube currency="USD" rate="1"/></Cube></a>',
        b'<a><Cube time="2026-07-02"><Cube currency="USD" rate="0"/></Cube></a>',
        b"Date,USD,JPY,GBP\nsoon,1,2,3",
        b'"' + b"x" * 200_000,
        b"PK\x03\x04",
        b"x" * 2_000_001,
    ],
)
def test_whatever_is_uploaded_is_answered_by_a_sentence(raw: bytes) -> None:
    found = rate_files.read(raw, "EUR", TODAY)
    assert found.rates == []
    assert found.errors


def test_of_many_wrong_lines_the_first_are_told_and_the_rest_counted() -> None:
    found = read("x,y,z\n" * 100)
    assert (len(found.errors), found.left_out) == (20, 80)


def test_more_rates_than_anybody_needs_are_refused() -> None:
    lines = (f"USD,{TODAY - timedelta(days=n)},1" for n in range(rate_files.MOST_RATES + 1))
    assert read("\n".join(lines)).errors == [
        (0, "There are too many rates in it. The ECB’s file of the last 90 days is enough.")
    ]


def test_the_source_remembers_by_which_rates_its_deals_were_converted(world: World) -> None:
    clock = Clock.of(world.organisation)
    converted(world)
    with world.inside():
        assert Source.objects.get().valued_by == rates.name_of(world.organisation, clock)
        assert not rates.is_outdated(world.organisation, clock)
