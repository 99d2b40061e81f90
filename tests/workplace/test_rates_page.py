"""Settings → Currencies: what admins enter, import, delete and change there, and what everybody is told."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Organisation
from alerts.tasks import convert_amounts
from deals.models import ExchangeRate
from tests.alerts.test_deal_list import statements
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db
PAGE = "/settings/currencies/"


@pytest.fixture
def world() -> World:
    world = world_now()
    world.first_synced()
    world.deal("euro", title="Euro", amount=Decimal(2000))
    world.deal("dollar", title="Dollar", amount=Decimal(10_000), currency="USD", close_on=world.day(3))
    world.deal("franc", title="Franc", amount=Decimal(500), currency="CHF")
    world.evaluate()
    return world


def enter(client: Client, currency: str = "USD", rate: str = "0.9213", days_ago: int = 0, **sent: Any) -> Any:
    world = sent.pop("world")
    day = world.day(days_ago).isoformat()
    return client.post(
        PAGE, {"enter": "1", "base": "EUR", "currency": currency, "rate": rate, "valid_on": day, **sent}, follow=True
    )


def text(answer: Any) -> str:
    return answer.content.decode().replace("\u00a0", " ").replace("\u202f", " ")


def test_an_entered_rate_converts_the_list_and_names_what_is_left(world: World) -> None:
    admin = log_in(world)
    assert "2 currencies of your deals have no rate" in text(admin.get(PAGE))
    answer = enter(admin, world=world)
    assert "Saved: the rate of USD" in text(answer)
    assert "1 USD = 0.9213 EUR" in text(answer)
    convert_amounts(world.organisation.pk)
    page = text(admin.get("/deals/"))
    assert "US$10,000" in page and "≈ €9,213" in page  # noqa: PT018
    assert "≈ €11,213 · 1 deal in CHF without a rate" in page
    assert "at risk · 1 deal in CHF without a rate" in page
    assert "12,500" not in page
    french = text(log_in(world, language="fr").get("/deals/"))
    assert "≈ 11 213 €" in french


def test_the_order_by_amount_is_that_of_the_values(world: World) -> None:
    admin = log_in(world)
    enter(admin, "USD", "0.1", world=world)
    enter(admin, "CHF", "9", world=world)
    convert_amounts(world.organisation.pk)
    rows = admin.get("/deals/?sort=-amount").context["list"].rows
    assert [row.deal.title for row in rows] == ["Franc", "Euro", "Dollar"]


def test_the_deal_page_and_the_settings_show_what_an_amount_is_worth(world: World) -> None:
    admin = log_in(world)
    enter(admin, world=world)
    convert_amounts(world.organisation.pk)
    assert "≈ €9,213" in text(admin.get(f"/deals/{world.stored('dollar').pk}/"))
    assert "≈ €9,213" in text(admin.get("/settings/alerts/"))
    verdicts = admin.get(f"/api/v1/deals/{world.stored('dollar').pk}/verdicts/").json()
    assert (verdicts["deal"]["value"], verdicts["deal"]["value_currency"]) == ("9213.00", "EUR")


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"rate": "0"}, "A rate is more than 0"),
        ({"rate": "many"}, "“many” is no number."),
        ({"rate": ""}, "“” is no number."),
        ({"currency": "<b>"}, "“&lt;B&gt;” is no currency"),
        ({"currency": "EUR"}, "EUR is your own currency"),
        ({"valid_on": "2026-02-30"}, "“2026-02-30” is no date"),
        ({"valid_on": "😀" * 5000}, "is no date"),
    ],
)
def test_a_wrong_entry_is_told_and_stays_in_the_form(world: World, sent: dict[str, str], problem: str) -> None:
    answer = enter(log_in(world), **{"world": world, **sent})
    assert answer.status_code == 422
    assert problem in text(answer)
    with world.inside():
        assert not ExchangeRate.objects.exists()


def test_a_french_decimal_comma_is_a_decimal_comma(world: World) -> None:
    assert "1 USD = 0,9213 EUR" in text(enter(log_in(world, language="fr"), rate="0,9213", world=world))


def test_a_rate_that_is_older_than_40_days_is_told(world: World) -> None:
    admin = log_in(world)
    assert "older than 40 days" not in text(enter(admin, days_ago=40, world=world))
    assert "One rate is older than 40 days." in text(enter(admin, "CHF", days_ago=41, world=world))
    assert "41 days old" in text(admin.get(PAGE))


def test_two_admins_who_enter_the_same_rate_are_told_and_the_second_decides(world: World) -> None:
    ana, bob = log_in(world), log_in(world, email="bob@vigie.example")
    enter(ana, "CHF", "1.1", world=world)
    seen = ana.get(PAGE).context["seen"]
    enter(bob, rate="0.9", world=world)
    answer = enter(ana, rate="0.8", world=world, seen=seen)
    assert answer.status_code == 409
    assert "Ana Ruiz has meanwhile entered 0.9 for USD" in text(answer)
    assert answer.context["entered"]["rate"] == "0.8"
    assert enter(ana, rate="0.8", world=world, seen=answer.context["seen"]).status_code == 200
    with world.inside():
        assert ExchangeRate.objects.get(currency="USD").rate == Decimal("0.8")


def test_an_import_by_text_or_file_saves_all_or_nothing(world: World) -> None:
    admin = log_in(world)
    sent = {"import": "1", "base": "EUR"}
    wrong = admin.post(PAGE, {**sent, "text": "USD,2026-01-05,0.9\nCHF,2026-01-05,often"})
    assert wrong.status_code == 422
    assert "Line 2: “often” is no number." in text(wrong).replace("</li>", "")
    with world.inside():
        assert not ExchangeRate.objects.exists()
    good = admin.post(PAGE, {**sent, "text": "USD,2026-01-05,0.9\nCHF,2026-01-05,1.1"}, follow=True)
    assert "Imported. New: 2, replaced: 0, unchanged: 0." in text(good)
    file = SimpleUploadedFile("rates.csv", b"Date,USD,GBP,CHF\n2026-01-05,1.25,0.8,0.5")
    again = admin.post(PAGE, {**sent, "file": file}, follow=True)
    assert "Imported. New: 1, replaced: 2, unchanged: 0." in text(again)
    assert "1 other currency with a rate" in text(again)
    assert "There is no rate in it." in text(admin.post(PAGE, sent))


def test_the_history_tells_who_entered_what_and_a_rate_can_be_deleted_once(world: World) -> None:
    admin = log_in(world)
    enter(admin, rate="0.8", days_ago=9, world=world)
    enter(admin, rate="0.9", world=world)
    page = admin.get(f"{PAGE}?history=USD")
    assert text(page).count("Ana Ruiz") >= 2
    newest = page.context["history"]["rates"][0].pk
    assert "Deleted: the rate of USD" in text(admin.post(PAGE, {"delete": newest}, follow=True))
    assert "1 USD = 0.8 EUR" in text(admin.get(PAGE))
    gone = admin.post(PAGE, {"delete": newest})
    assert gone.status_code == 404
    assert "This rate is not there any more" in text(gone)


def test_another_organisations_rate_is_not_there(world: World) -> None:
    enter(log_in(world), world=world)
    with world.inside():
        [pk] = ExchangeRate.objects.values_list("pk", flat=True)
    other = log_in(world_now(), email="eve@elsewhere.example")
    assert other.post(PAGE, {"delete": pk}).status_code == 404
    with world.inside():
        assert ExchangeRate.objects.count() == 1


def test_the_own_currency_changes_for_everybody_and_an_outdated_page_is_told(world: World) -> None:
    admin = log_in(world)
    assert "Amounts are shown in US Dollar" in text(admin.post(PAGE, {"own": "USD", "base": "EUR"}, follow=True))
    assert Organisation.objects.get(pk=world.organisation.pk).currency == "USD"
    convert_amounts(world.organisation.pk)
    assert world.stored("dollar").value == Decimal(10_000)
    for late in ({"own": "GBP"}, {"enter": "1", "currency": "CHF", "rate": "1", "valid_on": "2026-01-05"}):
        answer = admin.post(PAGE, {**late, "base": "EUR"})
        assert answer.status_code == 409
        assert "changed your organisation’s currency to USD" in text(answer)
    assert admin.post(PAGE, {"own": "XXX", "base": "USD"}).status_code == 422


def test_when_all_deals_are_in_one_other_currency_the_page_asks_whether_it_is_the_own(world: World) -> None:
    other = world_now()
    other.deal("one", currency="GBP")
    page = text(log_in(other, email="eve@elsewhere.example").get(PAGE))
    assert "All your deals are in GBP: perhaps that is your own currency?" in page


def test_others_read_and_change_nothing(world: World) -> None:
    enter(log_in(world), world=world)
    rep = log_in(world, role="rep", email="rep@vigie.example")
    page = text(rep.get(f"{PAGE}?history=USD"))
    assert "1 USD = 0.9213 EUR" in page
    assert "Only admins can change them." in page
    assert '<form method="post" action="/settings/currencies/' not in page
    for sent in ({"enter": "1"}, {"import": "1"}, {"delete": "1"}, {"own": "USD"}, {}):
        assert rep.post(PAGE, sent).status_code == 403


@pytest.mark.parametrize(
    "address",
    ["?history=XXX", "?history=%00", "?history=USD&page=0", "?history=USD&page=99999999", "?enter=%3Cb%3E", "?page=x"],
)
def test_any_address_is_answered(world: World, address: str) -> None:
    admin = log_in(world)
    enter(admin, world=world)
    assert admin.get(PAGE + address).status_code == 200
    assert admin.post(PAGE, {}).status_code == 422
    assert admin.post(PAGE, {"delete": "9" * 30}).status_code == 404


def test_the_page_takes_the_same_statements_for_one_rate_and_many(world: World) -> None:
    admin = log_in(world)
    enter(admin, world=world)
    one = statements(admin, f"{PAGE}?history=USD")
    lines = "\n".join(f"USD,{world.clock.today - timedelta(days=n)},0.{n + 1}" for n in range(1, 60))
    admin.post(PAGE, {"import": "1", "base": "EUR", "text": f"{lines}\nCHF,2026-01-05,1.1"})
    for code in ("GBP", "JPY"):
        world.deal(code, currency=code)
    assert statements(admin, f"{PAGE}?history=USD&page=2") == one
