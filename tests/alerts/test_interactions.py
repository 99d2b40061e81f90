"""What counts as an interaction, when it happened, and whom it engages (PRODUCT §1), read off the deal's summary."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Membership, User
from deals.models import DealPerson, Source
from deals.records import Batch, ColleagueRecord, ParticipantRecord
from deals.upsert import upsert
from tests.world import World

pytestmark = pytest.mark.django_db

ME = ParticipantRecord("attendee", colleague="me")


def party(part, address="", **fields):
    return ParticipantRecord(part, address=address, **fields)


TOOK_PLACE = {
    "call": ("call", ["ana"], {}),
    "call without recorded participant": ("call", [], {}),
    "e-mail": ("email", ["ana"], {}),
    "message": ("message", ["ana"], {}),
    "meeting": ("meeting", ["ana", ME], {}),
    "meeting that records only its organiser": ("meeting", [party("organiser", colleague="me")], {}),
    "call that records only the colleague who organised it": ("call", [party("organiser", colleague="me")], {}),
    "e-mail that records only its sender, a colleague": ("email", [party("from", "me@vigie.example")], {}),
    "meeting that every customer declined": ("meeting", [ME, party("attendee", contact="ana", declined=True)], {}),
    "e-mail to a colleague and a customer": (
        "email",
        [party("to", "bo@vigie.example"), party("cc", "ana@customer.example")],
        {},
    ),
    "e-mail to an unknown address": ("email", [party("to", "who@else.example")], {}),
    "participant whose contact has not arrived": ("call", ["nobody-yet"], {}),
    "the past meeting whose outcome says nothing": ("meeting", ["ana"], {"state": "held"}),
}
DID_NOT = {
    "unanswered call": ("call", ["ana"], {"state": "attempt"}),
    "cancelled meeting": ("meeting", ["ana"], {"state": "cancelled"}),
    "no-show": ("meeting", ["ana"], {"state": "no_show"}),
    "rescheduled meeting": ("meeting", ["ana"], {"state": "rescheduled"}),
    "activity never marked done": ("meeting", ["ana"], {"state": "planned"}),
    "draft": ("email", ["ana"], {"state": "draft"}),
    "bounced e-mail": ("email", ["ana"], {"state": "bounced"}),
    "deleted call": ("call", ["ana"], {"deleted": True}),
    "meeting among colleagues": ("meeting", [ME, party("organiser", "bo@vigie.example")], {}),
    "e-mail among colleagues": ("email", [party("from", "me@vigie.example"), party("to", "bo@vigie.example")], {}),
    "call with an address of the own domain": ("call", [party("other", "Bo@Vigie.example")], {}),
    "activity of another deal": ("call", ["ana"], {"deals": ("other",)}),
    "activity of no deal, of a contact of the deal": ("call", ["ana"], {"deals": ()}),
}


@pytest.mark.parametrize(("kind", "who", "fields"), TOOK_PLACE.values(), ids=TOOK_PLACE)
def test_what_took_place_is_an_interaction(kind, who, fields):
    w = World()
    w.contact("ana")
    w.on_deal("ana", created_at=w.at(60))
    w.activity(kind, 3, *who, **fields)
    assert w.stored().last_interaction_on == w.day(3)


@pytest.mark.parametrize(("kind", "who", "fields"), DID_NOT.values(), ids=DID_NOT)
def test_what_did_not_take_place_between_us_and_them_is_no_interaction(kind, who, fields):
    w = World()
    w.contact("ana")
    w.on_deal("ana", created_at=w.at(60))
    w.activity(kind, 3, *who, **fields)
    assert w.stored().last_interaction_on is None


@pytest.mark.parametrize(
    ("seconds", "counts"), [(-1, True), (0, True), (1, False)], ids=["just before", "now", "just after"]
)
def test_an_interaction_is_dated_at_or_before_now(seconds, counts):
    w = World()
    w.deal()
    w.activity("email", None, at=w.clock.now + timedelta(seconds=seconds))
    assert (w.stored().last_interaction_on == w.clock.today) is counts


@pytest.mark.parametrize(
    ("on", "done", "expected"),
    [(3, None, 3), (3, 3, 3), (3, 1, 3), (3, 5, 5)],
    ids=["never marked", "the same day", "marked later", "marked earlier"],
)
def test_an_all_day_activity_stands_at_midnight_of_its_day_or_of_the_earlier_day_it_was_done(on, done, expected):
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("meeting", None, on=w.day(on), done_at=None if done is None else w.at(done, 23))
    deal = w.stored()
    assert deal.last_interaction_on == w.day(expected)
    assert deal.last_interaction_at == w.at(expected, 0)


def test_an_interaction_counts_even_if_it_is_older_than_the_deal():
    w = World()
    w.contact("ana")
    w.deal(created_at=w.at(5))
    w.activity("call", 30, "ana")
    assert w.stored().last_interaction_on == w.day(30)
    assert w.stored().engaged_count == 1


def test_an_activity_counts_for_each_deal_with_which_the_crm_associates_it():
    w = World()
    w.deal("d")
    w.deal("e")
    w.activity("call", 3, deals=("d", "e"))
    assert w.stored("d").last_interaction_on == w.stored("e").last_interaction_on == w.day(3)


def test_an_activity_taken_off_a_deal_no_longer_counts_there():
    w = World()
    w.deal("d")
    w.deal("e")
    w.activity("call", 3, external_id="call/x", deals=("d", "e"))
    w.activity("call", 3, external_id="call/x", deals=("e",))
    assert w.stored("d").last_interaction_on is None
    assert w.stored("e").last_interaction_on == w.day(3)


@pytest.mark.parametrize(
    ("mail", "read", "expected"), [(2, None, 2), (2, 4, 2), (4, 2, 2)], ids=["alone", "newer", "older"]
)
def test_mail_whose_time_alone_is_told_is_one_email_that_engages_nobody(mail, read, expected):
    w = World()
    w.contact("ana")
    w.deal(mail_at=w.at(mail))
    if read is not None:
        w.activity("email", read, "ana")
    deal = w.stored()
    assert deal.last_interaction_on == w.day(expected)
    assert deal.engaged_count == (0 if read is None else 1)


def test_mail_time_that_the_crm_corrects_backwards_is_corrected_here():
    w = World()
    w.deal(mail_at=w.at(2), updated_at=w.at(2))
    w.deal(mail_at=w.at(4), updated_at=w.at(1))
    assert w.stored().last_interaction_on == w.day(4)


# ---- Who is engaged


def engaged(w, deal="d"):
    """The addresses of those engaged on a deal, one per person."""
    with w.inside():
        people = DealPerson.objects.filter(deal__external_id=deal)
        return {min(a.address for a in p.person.addresses.all()) for p in people}


ANA, BEA = "ana@customer.example", "bea@customer.example"
ENGAGES = {
    "the recipient": ("email", [party("to", ANA)], {ANA}),
    "the recipient, sent by us": ("email", [party("from", "me@vigie.example"), party("to", ANA)], {ANA}),
    "the external sender": ("email", [party("from", ANA), party("to", "me@vigie.example")], {ANA}),
    "the sender, recorded alone": ("email", [party("from", ANA)], {ANA}),
    "not those in copy": ("email", [party("to", ANA), party("cc", BEA), party("bcc", "eva@else.example")], {ANA}),
    "a message's contact": ("message", ["ana"], {ANA}),
    "the other side of a call": ("call", ["ana"], {ANA}),
    "who attended": ("meeting", ["ana", "bea", ME], {ANA, BEA}),
    "not who declined": ("meeting", ["ana", party("attendee", contact="bea", declined=True)], {ANA}),
    "an organiser from outside": ("meeting", [party("organiser", ANA), ME], {ANA}),
    "not an organiser recorded alone": ("meeting", [party("organiser", ANA)], set()),
    "who organised a call, recorded alone": ("call", [party("organiser", ANA)], {ANA}),
    "who organised a call with us": ("call", [party("organiser", ANA), ME], {ANA}),
    "contacts of an e-mail logged without address": ("email", ["ana", "bea"], {ANA, BEA}),
    "an unknown address, trimmed and lower-cased": ("email", [party("to", " Who@Else.example ")], {"who@else.example"}),
    "plus-tags as written": (
        "email",
        [party("to", "x+a@else.example"), party("to", "x+b@else.example")],
        {"x+a@else.example", "x+b@else.example"},
    ),
    "nobody of the own domain": ("email", [party("to", ANA), party("to", "bo@vigie.example")], {ANA}),
    "nobody without a recorded participant": ("call", [], set()),
    "nobody by an attempt": ("call", ["ana"], set()),
}


@pytest.mark.parametrize(("kind", "who", "expected"), ENGAGES.values(), ids=ENGAGES)
def test_an_interaction_engages(kind, who, expected, request):
    w = World()
    w.contact("ana")
    w.contact("bea")
    w.deal()
    w.activity(kind, 3, *who, state="attempt" if "attempt" in request.node.callspec.id else "held")
    assert engaged(w) == expected


def test_a_free_mail_domain_is_never_our_own():
    w = World()
    w.write(colleagues=[ColleagueRecord("bo", "Bo", "bo@gmail.com", False)])
    w.deal()
    w.activity("email", 3, party("to", "ana@gmail.com"), party("to", "bo@gmail.com"))
    assert engaged(w) == {"ana@gmail.com"}


def test_an_archived_user_of_the_crm_is_a_colleague():
    w = World()
    w.write(colleagues=[ColleagueRecord("bo", "Bo", "bo@freelance.example", False)])
    w.deal()
    w.activity("email", 3, party("to", "bo@freelance.example"))
    assert w.stored().last_interaction_on is None


def test_a_member_of_the_organisation_is_a_colleague():
    w = World()
    user = User.objects.create(email="Eve@Freelance.example")
    Membership.objects.create(user=user, organisation=w.organisation)
    w.deal()
    w.activity("email", 3, party("to", "eve@freelance.example"))
    assert w.stored().last_interaction_on is None


def test_a_contact_with_any_address_of_the_own_domain_is_a_colleague():
    w = World()
    w.contact("bo", emails=("bo@home.example", "zz.bo@vigie.example"))
    w.deal()
    w.activity("call", 3, "bo")
    assert w.stored().last_interaction_on is None


def test_a_colleague_who_arrives_late_makes_past_talks_internal():
    w = World()
    w.deal()
    w.activity("email", 3, party("to", "bo@freelance.example"))
    assert w.stored().last_interaction_on == w.day(3)
    w.write(colleagues=[ColleagueRecord("bo", "Bo", "bo@freelance.example", True)])
    assert w.stored().last_interaction_on is None
    assert engaged(w) == set()


def test_contacts_of_the_same_number_in_two_crms_are_two_people():
    w = World()
    w.contact("7", emails=("ana@customer.example",))
    w.deal("d")
    w.activity("call", 3, "7")
    with w.inside():
        other = Source.objects.create(organisation=w.organisation, provider="pipedrive", account_id="2")
        mirrored = w.source
    w.source = other
    w.deal("e")
    w.activity("call", 3, "7", deal="e", external_id="call/e")
    w.contact("7", emails=("zoe@else.example",))
    # Read again, the other CRM's users: every participant is looked at anew.
    for source in (mirrored, other):
        with w.inside():
            upsert(source, Batch(colleagues=[ColleagueRecord("bo", "Bo", "bo@vigie.example", True)]), w.clock)
    assert engaged(w, "d") == {"ana@customer.example"}
    assert engaged(w, "e") == {"zoe@else.example"}


def test_what_waits_for_a_deal_waits_for_that_of_its_own_crm():
    w = World()
    w.activity("call", 3, deals=("12",))
    with w.inside():
        w.source = Source.objects.create(organisation=w.organisation, provider="pipedrive", account_id="2")
    w.deal("12")
    assert w.stored("12").last_interaction_on is None


def test_a_meeting_that_becomes_past_by_time_becomes_an_interaction_without_a_write():
    w = World()
    w.contact("ana")
    w.deal(created_at=w.at(60))
    ends = w.clock.now + timedelta(hours=1)
    w.activity("meeting", None, "ana", at=ends, ends_at=ends)
    assert "no_activity" in w.alerts()
    w.clock = replace(w.clock, now=ends)
    assert "no_activity" not in w.alerts()
    assert w.stored().last_interaction_at == ends
    assert engaged(w) == {ANA}


def test_a_call_is_placed_by_its_utc_time_on_the_organisations_local_day():
    w = World(now=datetime(2026, 11, 22, 12, tzinfo=UTC), zone="Pacific/Auckland")
    w.deal(created_at=w.at(60))
    w.activity("call", None, at=datetime(2026, 11, 20, 11, 30, tzinfo=UTC))  # 00:30 on the 21st in Auckland
    assert w.stored().last_interaction_on.isoformat() == "2026-11-21"


def test_a_person_is_a_colleague_by_any_address_whichever_contact_was_recorded():
    w = World()
    w.contact("private", emails=("lea@home.example",))
    w.contact("work", emails=("lea@home.example", "me@vigie.example"))
    w.deal(created_at=w.at(30))
    w.activity("call", 3, "private")
    assert w.alerts()["no_activity"] == w.day(20)
    w.contact("work", emails=("lea@work.example",), updated_at=w.at(1))
    assert "no_activity" not in w.alerts()
