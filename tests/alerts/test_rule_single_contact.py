"""`single_contact`: the streak of interactions, from newest to oldest, that engage exactly one same person."""

import pytest

from deals.models import Person
from deals.records import ParticipantRecord
from tests.world import World

pytestmark = pytest.mark.django_db

CC_BEA = ParticipantRecord("cc", contact="bea")
UNKNOWN = ParticipantRecord("to", address="who@else.example")
PLUS = ParticipantRecord("to", address="who+crm@else.example")


def mail(days_ago, *who, hour=12, **fields):
    return ("email", days_ago, hour, who, fields)


# interactions in any order · since when it holds (days ago), None: clear.
# Limit 10 days, minimum 2; the deal was created 60 days ago.
ROWS = {
    "no interaction": ([], None),
    "one is no streak": ([mail(20, "ana")], None),
    "just below the limit": ([mail(9, "ana"), mail(3, "ana")], None),
    "at the limit": ([mail(10, "ana"), mail(3, "ana")], 0),
    "above the limit, minimum reached on that day": ([mail(11, "ana"), mail(1, "ana")], 1),
    "minimum reached before": ([mail(30, "ana"), mail(25, "ana")], 20),
    "minimum reached later": ([mail(30, "ana"), mail(3, "ana")], 3),
    "minimum reached today": ([mail(30, "ana"), mail(0, "ana", hour=9)], 0),
    "a second person breaks it": ([mail(30, "ana"), mail(15, "bea"), mail(12, "ana"), mail(11, "ana")], 2),
    "the newest is with somebody else": ([mail(30, "ana"), mail(20, "ana"), mail(2, "bea")], None),
    "the newest engages two": ([mail(30, "ana"), mail(20, "ana"), mail(2, "ana", "bea")], None),
    "two in between": ([mail(30, "ana"), mail(20, "ana", "bea"), mail(12, "ana")], None),
    "in copy does not break": ([mail(30, "ana"), mail(20, "ana", CC_BEA), mail(2, CC_BEA)], 20),
    "who engages nobody does not lengthen": ([mail(30, "ana"), mail(20)], None),
    "who engages nobody does not break": ([mail(30, "ana"), mail(25), mail(20, "ana"), mail(2)], 20),
    "equal times count as one": ([mail(20, "ana"), mail(20, "ana")], None),
    "equal times with two people break": ([mail(30, "ana"), mail(20, "ana"), mail(20, "bea")], None),
    "an attempt does not break": ([mail(30, "ana"), mail(20, "ana"), mail(2, "bea", state="attempt")], 20),
    "a deleted one does not break": ([mail(30, "ana"), mail(20, "ana"), mail(2, "bea", deleted=True)], 20),
    "what lies ahead does not break": ([mail(30, "ana"), mail(20, "ana"), mail(-2, "bea")], 20),
    "an unknown contact": ([mail(30, UNKNOWN), mail(20, UNKNOWN)], 20),
    "an unknown contact breaks": ([mail(30, "ana"), mail(20, "ana"), mail(2, UNKNOWN)], None),
    "plus-tags are two people": ([mail(30, UNKNOWN), mail(20, PLUS)], None),
    "two contacts with the same address": ([mail(30, "ana"), mail(20, "twin")], 20),
    "older than the deal": ([mail(90, "ana"), mail(80, "ana")], 50),
}


@pytest.mark.parametrize(("interactions", "since"), ROWS.values(), ids=ROWS)
def test_single_contact(interactions, since):
    w = World()
    w.contact("ana")
    w.contact("twin", emails=("twin@customer.example", "ana@customer.example"))
    w.contact("bea")
    w.deal(created_at=w.at(60))
    for kind, days_ago, hour, who, fields in interactions:
        w.activity(kind, None, *who, at=w.at(days_ago, hour), **fields)
    assert w.alerts().get("single_contact") == (None if since is None else w.day(since))


@pytest.mark.parametrize(("minimum", "count", "fires"), [(1, 1, True), (3, 2, False), (3, 3, True), (10, 9, False)])
def test_the_minimum_of_interactions_is_a_setting(minimum, count, fires):
    w = World()
    w.configure(single_contact={"minimum": minimum})
    w.contact("ana")
    w.deal(created_at=w.at(60))
    for n in range(count):
        w.activity("call", 40 - n, "ana")
    assert ("single_contact" in w.alerts()) is fires


def test_the_tenth_interaction_reaches_a_minimum_of_ten():
    w = World()
    w.configure(single_contact={"minimum": 10})
    w.contact("ana")
    w.deal(created_at=w.at(60))
    for days_ago in range(40, 28, -1):
        w.activity("call", days_ago, "ana")
    assert w.alerts()["single_contact"] == w.day(30)  # oldest + 10; the tenth came on day 31


@pytest.mark.parametrize(("created", "since"), [(9, None), (10, 0), (11, 1)])
def test_days_are_never_counted_from_before_creation(created, since):
    w = World()
    w.contact("ana")
    w.deal(created_at=w.at(created))
    w.activity("call", 40, "ana")
    w.activity("call", 30, "ana")
    assert w.alerts().get("single_contact") == (None if since is None else w.day(since))


def test_reopening_does_not_cut_the_streak_but_nothing_holds_since_before_it():
    w = World()
    w.contact("ana")
    w.deal(created_at=w.at(60))
    w.activity("call", 40, "ana")
    w.activity("call", 30, "ana")
    w.deal(created_at=w.at(60), status="lost", updated_at=w.at(4))
    w.deal(created_at=w.at(60), updated_at=w.at(3))
    assert w.alerts()["single_contact"] == w.day(3)


def test_an_unknown_contact_who_is_entered_later_stays_the_same_person():
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("email", 30, UNKNOWN)
    w.activity("email", 20, UNKNOWN)
    before = w.alerts()["single_contact"]
    w.contact("who", emails=("who@else.example",))
    w.activity("call", 2, "who")
    assert w.alerts()["single_contact"] == before
    with w.inside():
        person = Person.objects.get(pk=w.stored().streak_person_id)
        assert (person.known, person.name) == (True, "Who")
        assert w.stored().streak_count == 3


def test_contacts_that_come_to_share_an_address_become_one_person_and_part_again():
    w = World()
    w.contact("ana")
    w.contact("bea")
    w.deal(created_at=w.at(60))
    w.activity("call", 30, "ana")
    w.activity("call", 20, "bea")
    assert "single_contact" not in w.alerts()
    w.contact("bea", emails=("bea@customer.example", "ana@customer.example"), updated_at=w.at(1))
    assert w.alerts()["single_contact"] == w.day(20)
    w.contact("bea", updated_at=w.at(0))
    assert "single_contact" not in w.alerts()
