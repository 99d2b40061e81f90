"""Who holds a role on a deal, and since when: over successors, overlaps, merged and split people."""

import pytest

from deals.records import ContactRecord, DealContactRecord, RoleRecord
from tests.world import World

pytestmark = pytest.mark.django_db

CHAMPION = "champion"


def world():
    """Two contacts on a deal of 60 days ago; the first synchronisation is over."""
    w = World()
    w.configure(key_role={"roles": {CHAMPION: 1}})
    w.contact("ana", roles=("Champion",))
    w.contact("bea")
    w.on_deal("ana", "bea", created_at=w.at(60))
    w.first_synced()
    return w


def contact(w, ref, *roles, emails=(), days_ago=0):
    addresses = (f"{ref}@customer.example", *emails)
    return ContactRecord(ref, ref.title(), "", addresses, None, roles, w.at(days_ago))


def later(w, days):
    """The same organisation, some days on."""
    w.clock = type(w.clock)(w.at(-days), w.clock.zone)


def known_since(w, role=CHAMPION):
    """Days ago, or None when nobody holds the role; and how many hold it."""
    facts = w.stored().roles.get(role)
    if facts is None:
        return None
    return (w.clock.today - type(w.clock.today).fromisoformat(facts["since"])).days, len(facts["holders"])


def test_a_role_of_the_first_synchronisation_is_known_since_creation():
    w = world()
    assert known_since(w) == (60, 1)


@pytest.mark.parametrize("first", [True, False])
def test_a_role_that_is_known_since_creation_stays_so_when_the_deal_becomes_older(first):
    """As when it is merged with an older one. What was seen later was still seen then."""
    w = world()
    if not first:
        w.write(contacts=[contact(w, "ana", days_ago=3)])
        w.write(contacts=[contact(w, "ana", "Champion", days_ago=2)])
    later(w, 1)
    w.on_deal("ana", "bea", created_at=w.at(90), updated_at=w.at(0))
    assert known_since(w) == (90 if first else 1, 1)


def test_of_two_holders_the_earlier_says_since_when_and_the_later_keeps_her_own_date():
    w = world()
    later(w, 3)
    w.write(contacts=[contact(w, "bea", "Champion")])
    assert known_since(w) == (63, 2)
    later(w, 4)
    w.write(contacts=[contact(w, "ana")])
    assert known_since(w) == (4, 1)  # bea's own, not ana's, and not today


def test_a_successor_in_one_change_is_known_since_that_change():
    w = world()
    later(w, 3)
    w.write(contacts=[contact(w, "ana"), contact(w, "bea", "Champion")])
    assert known_since(w) == (0, 1)
    later(w, 2)
    w.write(contacts=[contact(w, "ana", "Champion")])
    assert known_since(w) == (2, 2)  # ana holds it again: since now, but bea is earlier


def test_a_role_that_is_taken_away_and_given_back_is_known_since_it_came_back():
    w = world()
    w.write(contacts=[contact(w, "ana")])
    assert known_since(w) is None
    later(w, 1)
    w.write(contacts=[contact(w, "ana", "Champion")])
    assert known_since(w) == (0, 1)


@pytest.mark.parametrize("merged", ["ana", "bea"])
def test_two_holders_who_turn_out_to_be_one_person_keep_the_earlier_date(merged):
    w = world()
    later(w, 3)
    w.write(contacts=[contact(w, "bea", "Champion")])
    other = "bea" if merged == "ana" else "ana"
    later(w, 1)
    w.write(contacts=[contact(w, merged, "Champion", emails=(f"{other}@customer.example",))])
    assert known_since(w) == (64, 1)


@pytest.mark.parametrize("first", ["ana", "bea"])
def test_a_later_holder_of_the_lower_number_inherits_the_earlier_date(first):
    """Whichever of the two people survives a merge."""
    w = World()
    second = "bea" if first == "ana" else "ana"
    w.contact(first)
    w.contact(second, roles=("Champion",))
    w.on_deal("ana", "bea", created_at=w.at(60))
    w.first_synced()
    later(w, 3)
    w.write(contacts=[contact(w, first, "Champion")])
    w.write(contacts=[contact(w, second, "Champion", emails=(f"{first}@customer.example",))])
    assert known_since(w) == (63, 1)


def test_several_people_merged_in_one_change_all_keep_their_dates():
    w = World()
    for ref in ("twin", "double", "ana", "bea"):
        w.contact(ref)
    w.write(contacts=[contact(w, "ana", "Champion", days_ago=4), contact(w, "bea", "Decision maker", days_ago=4)])
    w.on_deal("ana", "bea", created_at=w.at(60))
    w.first_synced()
    w.write(
        contacts=[
            contact(w, "ana", "Champion", emails=("twin@customer.example",)),
            contact(w, "bea", "Decision maker", emails=("double@customer.example",)),
        ]
    )
    assert (known_since(w), known_since(w, "decision maker")) == ((60, 1), (60, 1))


def test_a_person_that_is_split_keeps_the_date_under_both_names():
    w = World()
    w.write(
        contacts=[
            contact(w, "ana", "Champion", days_ago=4),
            contact(w, "bea", "Champion", emails=("ana@customer.example",), days_ago=4),
        ]
    )
    w.on_deal("ana", "bea", created_at=w.at(60))
    w.first_synced()
    assert known_since(w) == (60, 1)
    w.write(contacts=[contact(w, "bea", "Champion")])
    assert known_since(w) == (60, 2)


def test_a_contact_has_several_roles_each_with_its_own_date_and_from_both_places():
    w = world()
    later(w, 3)
    w.deal(
        contacts=(DealContactRecord("ana", roles=("Decision maker", "CHAMPION")), DealContactRecord("bea")),
        created_at=w.at(63),
        updated_at=w.at(0),
    )
    assert (known_since(w), known_since(w, "decision maker")) == ((63, 1), (0, 1))
    later(w, 1)
    w.write(contacts=[contact(w, "ana")])  # the label on the deal says it still
    assert known_since(w) == (64, 1)


def test_roles_found_in_free_text_add_to_those_known_and_keep_their_first_spelling():
    w = world()
    w.write(contacts=[contact(w, "bea", "Signataire")], found_roles=[RoleRecord("Signataire"), RoleRecord("CHAMPION")])
    with w.inside():
        roles = dict(w.organisation.roles.values_list("key", "label"))
    assert roles == {"champion": "Champion", "decision maker": "Decision maker", "signataire": "Signataire"}


def test_an_account_that_offers_no_role_any_more_makes_all_of_them_stale():
    w = world()
    assert "key_role:champion" in w.alerts()
    assert w.write() == set()  # roles that were not read say nothing
    assert w.write(roles=[]) == {w.stored().pk}
    assert "key_role:champion" not in w.alerts()
    with w.inside():
        assert not w.organisation.roles.filter(stale=False).exists()
