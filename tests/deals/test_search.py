"""The text that the deal list searches: whose names, how they are compared, and that it follows every change."""

import pytest
from django.db import connection

from accounts.tenancy import tenant
from deals import search
from deals.models import Deal
from deals.records import CompanyRecord, ContactRecord, DealContactRecord
from tests.world import World

pytestmark = pytest.mark.django_db


def text(world: World, deal: str = "d") -> str:
    return world.stored(deal).search


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Acme Énergie", "acme energie"),
        ("  STRASSE\t straße ", "strasse strasse"),
        ("L\u2019Oréal", "l'oreal"),
        ("ﬁnance №5", "finance no5"),
        ("Ελλάς", "ελλασ"),
        ("שלום", "שלום"),
        ("株式会社", "株式会社"),
        ("100% \\_ '; -- 😀", "100% \\_ '; -- 😀"),
        ("a\0b", "ab"),
        ("", ""),
    ],
)
def test_case_accents_and_spaces_make_no_difference(name: str, plain: str) -> None:
    assert search.plain(name) == plain


@pytest.mark.parametrize("name", ["Łódź", "İstanbul", "ǅ", "ΑΣ", "\u0301", "Å\u0338"])
def test_a_plain_text_is_its_own_plain_text(name: str) -> None:
    assert search.plain(search.plain(name)) == search.plain(name)


def test_title_company_and_contacts_of_a_deal() -> None:
    w = World()
    w.write(companies=[CompanyRecord("acme", "Acme Énergie", w.at(9))])
    w.contact("zoé")
    w.contact("yan")
    w.deal(title="Big One", company="acme", contacts=(DealContactRecord("yan"), DealContactRecord("zoé", True)))
    assert text(w) == "big one acme energie zoe yan"


def test_what_arrives_after_the_deal_is_found_too() -> None:
    w = World()
    w.deal(title="Early", company="acme", contacts=(DealContactRecord("zoe"),))
    assert text(w) == "early"
    w.write(companies=[CompanyRecord("acme", "Acme", w.at(9))])
    w.contact("zoe")
    assert text(w) == "early acme zoe"


def test_new_names_replace_the_old_ones() -> None:
    w = World()
    w.write(companies=[CompanyRecord("acme", "Acme", w.at(9))])
    w.contact("zoe")
    w.deal(title="Old", company="acme", contacts=(DealContactRecord("zoe"),))
    w.write(companies=[CompanyRecord("acme", "Zenith", w.at(3))])
    w.write(contacts=[ContactRecord("zoe", "Zoé Martin", "", (), None, (), w.at(3))])
    w.deal(title="New", company="acme", contacts=(DealContactRecord("zoe"),), updated_at=w.at(2))
    assert text(w) == "new zenith zoe martin"


def test_a_contact_that_leaves_the_deal_or_the_crm_is_not_found() -> None:
    w = World()
    w.contact("zoe")
    w.contact("yan")
    w.deal(contacts=(DealContactRecord("zoe"), DealContactRecord("yan")))
    w.deal(contacts=(DealContactRecord("yan"),), updated_at=w.at(2))
    assert text(w) == "deal yan"
    w.contact("yan", updated_at=w.at(1), deleted=True)
    assert text(w) == "deal"


def test_a_deal_that_is_opened_again_has_its_names_of_today() -> None:
    w = World()
    w.write(companies=[CompanyRecord("acme", "Acme", w.at(9))])
    w.deal(company="acme", status="lost")
    w.write(companies=[CompanyRecord("acme", "Zenith", w.at(3))])
    w.deal(company="acme", updated_at=w.at(2))
    assert text(w) == "deal zenith"


@pytest.mark.parametrize("letter", ["x", "é", "ש", "株", "😀"])
def test_very_long_names_and_many_contacts_fit_the_index(letter: str) -> None:
    w = World()
    names = [f"c{n}" for n in range(120)]
    w.write(
        contacts=[ContactRecord(n, f"{n} {letter * 40}", "", (), None, (), w.at(5)) for n in names],
        companies=[CompanyRecord("acme", "Acme " + letter * 5_000, w.at(9))],
    )
    w.deal(title="Big " + letter * 5_000, company="acme", contacts=tuple(map(DealContactRecord, names)))
    found = text(w)
    assert len(found.encode()) <= search.LONGEST_TEXT
    assert found.startswith("big ")
    assert " acme " in found or letter in "株😀"  # a name of such letters takes half of the room
    assert "c0 " in found or letter in "株😀"


def test_one_organisation_never_writes_the_text_of_another() -> None:
    here, there = World(), World()
    there.deal(title="Theirs")
    with tenant(there.organisation):
        pk = there.stored().pk
        Deal.objects.filter(pk=pk).update(search="")
    with tenant(here.organisation), connection.cursor() as cursor:
        search.rebuild(cursor, here.organisation.pk, [pk])
    assert text(there) == ""


def test_nothing_is_written_when_no_name_has_changed(django_assert_num_queries) -> None:
    w = World()
    w.deal(title="Same")
    pk = w.stored().pk
    with w.inside(), django_assert_num_queries(1), connection.cursor() as cursor:
        search.rebuild(cursor, w.organisation.pk, [pk])
