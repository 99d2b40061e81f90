"""The organisation's own mail domains: how they are written, found, chosen, and who is inside."""

import pytest
from django.core.exceptions import ValidationError

from accounts.models import User
from deals import domains
from deals.models import Participant
from deals.records import ColleagueRecord, ParticipantRecord
from tests.world import NOON, World


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("acme.fr", "acme.fr"),
        ("  Acme.FR. ", "acme.fr"),
        ("@acme.fr", "acme.fr"),
        ("jean.dupont@acme.fr", "acme.fr"),
        ("https://acme.fr", "acme.fr"),
        ("sales.acme.co.uk", "sales.acme.co.uk"),
        ("société.example", "xn--socit-esab.example"),
        ("XN--SOCIT-ESAB.example", "xn--socit-esab.example"),
        ("a" * 63 + ".fr", "a" * 63 + ".fr"),
    ],
)
def test_a_domain_is_told_as_people_write_it(said, name):
    assert domains.plain(said) == name


@pytest.mark.parametrize(
    "said",
    ["", "acme", "acme..fr", "-acme.fr", "ac me.fr", "acme.fr/x", "a" * 64 + ".fr", "127.0.0.1", "<b>.fr", "x" * 400],
)
def test_what_is_no_domain_is_refused(said):
    with pytest.raises(ValidationError, match="is no mail domain"):
        domains.plain(said)


@pytest.mark.parametrize("said", ["gmail.com", "Ana@GMAIL.com", "orange.fr", "proton.me", "hotmail.co.uk"])
def test_a_free_mail_provider_is_refused(said):
    with pytest.raises(ValidationError, match="free mail provider"):
        domains.plain(said)


@pytest.fixture
def w(db) -> World:
    return World()


def choose(w: World, *names: str, based_on: int | None = None) -> set[str]:
    admin = User.objects.get_or_create(email="ana@vigie.example")[0]
    with w.inside():
        version = domains.version(w.organisation) if based_on is None else based_on
        changed = domains.choose(w.organisation, names, admin, NOON, version)
    w.organisation.refresh_from_db()
    return changed


def listed(w: World) -> dict[str, tuple[bool, int, int]]:
    with w.inside():
        return {one.name: (one.own, one.colleagues, one.people) for one in domains.listing(w.organisation)}


def test_they_are_suggested_by_the_addresses_of_colleagues_and_free_mail_never_is(w):
    others = ["bo@vigie.example", "Cy@Group.example", "di@group.example", "el@gmail.com", "nonsense", ""]
    w.write(colleagues=[ColleagueRecord(f"{n}", f"User {n}", email, True) for n, email in enumerate(others)])
    choose(w, "vigie.example")
    w.contact("ana", emails=("ana@group.example", "ana@group2.example"))
    assert listed(w) == {"vigie.example": (True, 2, 0), "group.example": (False, 2, 1)}


def test_both_spellings_of_an_international_name_are_inside_and_a_subdomain_is_not(w):
    w.deal()
    who = ["jo@société.example", "al@xn--socit-esab.example", "sub@mail.société.example"]
    w.activity("meeting", 3, *(ParticipantRecord("attendee", address=address) for address in who))
    assert choose(w, "Société.example") == {"vigie.example", "société.example", "xn--socit-esab.example"}
    assert listed(w)["société.example"] == (True, 0, 2)
    w.activity("meeting", 2, *(ParticipantRecord("attendee", address=address) for address in who))
    with w.inside():
        newest = Participant.objects.order_by("-pk")[:3]
        assert {one.address: one.colleague for one in newest} == dict(zip(who, [True, True, False], strict=True))


def test_what_an_admin_has_chosen_is_not_filled_in_again_even_if_it_is_nothing(w):
    assert choose(w) == {"vigie.example"}
    w.write(colleagues=[ColleagueRecord("new", "New", "new@vigie.example", True)])
    w.organisation.refresh_from_db()
    assert w.organisation.own_domains == []
    assert listed(w) == {"vigie.example": (False, 2, 0)}


def test_of_two_admins_the_second_is_told_and_a_wrong_one_among_them_refuses_all(w):
    choose(w, "one.example")
    with pytest.raises(domains.Conflict):
        choose(w, "two.example", based_on=0)
    with pytest.raises(ValidationError):
        choose(w, "three.example", "gmail.com")
    with pytest.raises(ValidationError):
        choose(w, *(f"d{n}.example" for n in range(domains.MOST + 1)))
    assert w.organisation.own_domains == ["one.example"]
    assert len(choose(w, *(f"d{n}.example" for n in range(domains.MOST)))) == domains.MOST + 1
