"""Facts arrive in any order, late, twice, outdated, under names that change: what is known in the end is the same."""

from dataclasses import replace
from functools import cache
from itertools import islice

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from alerts.models import Alert
from deals.models import Activity, Contact, Deal, Person, PersonAddress
from deals.records import (
    ColleagueRecord,
    CompanyRecord,
    DealContactRecord,
    ParticipantRecord,
    PipelineRecord,
    StageRecord,
)
from tests.alerts.writing import held_back, write_together
from tests.world import World

pytestmark = pytest.mark.django_db


def people(w, ids):
    """Persons told by their addresses: their ids depend on who came first."""
    found = PersonAddress.objects.filter(organisation=w.organisation, person__in=ids)
    return frozenset(found.values_list("address", flat=True))


def known(w):
    """Everything that was derived and judged, without ids."""
    w.evaluate()
    with w.inside():
        activities = dict(Activity.objects.values_list("pk", "external_id"))
        deals = {}
        for d in Deal.objects.select_related("company", "stage", "owner"):
            deals[d.external_id] = (
                (d.title, str(d.company), str(d.stage), str(d.owner), d.stage_entered_on, d.last_touch_on),
                (activities.get(d.last_interaction_id), d.last_interaction_at, d.roll_at),
                (activities.get(d.planned_id), d.planned_until_on),
                (people(w, [d.streak_person_id]), d.streak_on, d.streak_count),
                (d.engaged_count, d.titled_count, d.top_level, d.alert_mask),
                {people(w, [p.person_id]): (p.first_on, p.last_on, p.interactions) for p in d.people.all()},
                {role: (people(w, r["holders"]), r["since"], r["last_on"]) for role, r in d.roles.items()},
                set(d.alerts.filter(resolved_at=None).values_list("kind", "subject", "holds_since")),
            )
        # An unknown person who turned out to be a colleague takes part in nothing.
        somebody = Person.objects.exclude(contacts=None, participations=None)
        return deals, {people(w, [p.pk]): (p.level, p.roles, p.known) for p in somebody}


def facts(w):
    """One batch per record: two deals, people under several names, outdated versions, references in every direction."""
    me = ParticipantRecord("from", address="me@vigie.example")
    with held_back(w) as batches:
        w.write(colleagues=[ColleagueRecord("bo", "Bo", "bo@freelance.example", True)])
        w.write(pipelines=[PipelineRecord("q", "Renewals", 2)])
        w.write(stages=[StageRecord("q1", "q", "Talk", 1)])
        w.write(companies=[CompanyRecord("c", "Customer", w.at(9))])
        w.contact("ana", "Buyer", ("Champion",))
        w.contact("twin", "CEO", emails=("twin@home.example", "ana@customer.example"))
        w.contact("bea", "Head of IT", ("Decision maker",), updated_at=w.at(30))
        w.contact("bea", updated_at=w.at(3))
        w.contact("who", "VP Sales", emails=("who@else.example",))
        deal = {"stage": "q1", "pipeline": "q", "company": "c", "owner": "bo", "created_at": w.at(60)}
        both = (DealContactRecord("ana"), DealContactRecord("bea", roles=("Sponsor",)))
        w.deal("d", **deal, contacts=both, updated_at=w.at(2))
        w.deal("d", **deal, contacts=(DealContactRecord("who"),), title="Old", updated_at=w.at(50), close_on=w.day(9))
        w.deal("e", **deal, contacts=(DealContactRecord("twin"),), close_on=w.day(-3), mail_at=w.at(8))
        w.activity("email", 30, me, ParticipantRecord("to", address="ana@customer.example"), external_id="email/1")
        w.activity("call", 25, "twin", external_id="call/1", deals=("d", "e"))
        w.activity("call", 20, "bea", external_id="call/2", deal="e")
        w.activity("call", 20, "bea", external_id="call/2", deal="e", state="attempt", updated_at=w.at(40))
        w.activity("email", 14, ParticipantRecord("to", address="who@else.example"), external_id="email/2", deal="e")
        w.activity("email", 1, ParticipantRecord("to", address="bo@freelance.example"), external_id="email/3")
        w.activity("meeting", -1, "ana", "bea", external_id="meeting/1", deals=("d", "e"))
        w.activity("meeting", 12, "ana", external_id="meeting/2", deleted=True)
    return batches


def fresh():
    w = World()
    w.configure(key_role={"roles": {"champion": 12, "decision maker": 12, "sponsor": 12}})
    return w


@cache
def reference():
    """What is known when everything comes in one page."""
    w = fresh()
    write_together(w, facts(w))
    return known(w)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # each example is a database: shrinking one would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(order=st.permutations(range(20)), sizes=st.lists(st.integers(1, 8), min_size=20, max_size=20))
def test_in_any_order_and_any_pages_they_end_alike(order, sizes):
    w = fresh()
    batches = facts(w)
    assert len(batches) == len(order)
    pages = iter(batches[n] for n in order)
    for size in sizes:
        write_together(w, list(islice(pages, size)))
    assert known(w) == reference()


def test_the_facts_of_the_permutations_say_something():
    w = fresh()
    deals, _ = reference()
    d, e = deals["d"], deals["e"]
    assert d[0][:4] == ("Deal", "Customer", "Talk", "Bo")
    assert d[3] == (frozenset({"ana@customer.example", "twin@home.example"}), [w.day(30), w.day(25)], 2)
    assert d[4][:3] == (1, 1, 3)
    assert d[6]["champion"] == (
        frozenset({"ana@customer.example", "twin@home.example"}),
        str(w.day(60)),
        str(w.day(25)),
    )
    assert ("key_role", "champion", w.day(13)) in d[7]
    assert ("power_map", "", w.day(7)) not in e[7]
    assert e[1][0] == "mail/e"
    assert e[4][:3] == (3, 2, 3)


def test_everything_twice_is_once():
    w = fresh()
    batches = facts(w)
    write_together(w, batches)
    before = known(w)
    assert write_together(w, batches) == set()
    assert known(w) == before


# ---- Versions


def test_an_older_version_never_overwrites_a_newer_one():
    w = World()
    w.contact("ana", "CEO", updated_at=w.at(2))
    w.contact("bea", updated_at=w.at(2))
    w.on_deal("ana", title="New", updated_at=w.at(2))
    w.activity("call", 3, "ana", external_id="call/1", updated_at=w.at(2))
    before = known(w)
    w.contact("ana", "Buyer", emails=("bea@customer.example",), updated_at=w.at(3))
    w.on_deal("bea", title="Old", updated_at=w.at(3))
    w.activity("call", 4, "bea", external_id="call/1", state="attempt", updated_at=w.at(3))
    assert known(w) == before
    with w.inside():
        assert [c.contact_ref for c in w.stored().deal_contacts.all()] == ["ana"]


def test_of_two_versions_in_one_page_the_newer_is_written():
    w = World()
    with held_back(w) as batches:
        w.contact("ana", "CEO", updated_at=w.at(2))
        w.contact("ana", "Buyer", updated_at=w.at(3))
    write_together(w, batches)
    with w.inside():
        assert Contact.objects.get().job_title == "CEO"


# ---- References that arrive later


def test_a_deal_before_its_contact_company_owner_and_stage():
    w = World()
    w.deal(contacts=(DealContactRecord("ana"),), company="c", owner="bo", pipeline="q", stage="q1")
    w.contact("ana", roles=("Champion",))
    w.write(companies=[CompanyRecord("c", "Customer", w.at(9))])
    w.write(colleagues=[ColleagueRecord("bo", "Bo", "bo@vigie.example", True)])
    w.write(stages=[StageRecord("q1", "q", "Talk", 1)])
    w.write(pipelines=[PipelineRecord("q", "Renewals", 2)])
    with w.inside():
        deal = Deal.objects.get()
        assert [str(x) for x in (deal.company, deal.owner, deal.stage, deal.pipeline)] == [
            "Customer",
            "Bo",
            "Talk",
            "Renewals",
        ]
        assert deal.stage.pipeline == deal.pipeline
        assert list(deal.roles) == ["champion"]


def test_an_activity_before_its_deal_touches_the_deal_when_it_comes():
    w = World()
    w.activity("call", 3, "ana")
    assert not w.alerts()
    w.deal()
    assert w.stored().last_interaction_on == w.day(3)


def test_a_contact_that_comes_after_its_call_touches_the_deal():
    w = World()
    w.deal()
    w.activity("call", 3, "ana")
    assert w.stored().engaged_count == 0
    with held_back(w) as batches:
        w.contact("ana", "CEO")
    assert write_together(w, batches) == {w.stored().pk}
    assert w.stored().top_level == 3


def test_a_company_that_comes_after_its_contact():
    w = World()
    with held_back(w) as batches:
        w.contact("ana")
    w.write(contacts=[replace(batches[0]["contacts"][0], company="c")])
    w.write(companies=[CompanyRecord("c", "Customer", w.at(9))])
    with w.inside():
        assert Contact.objects.get().company.name == "Customer"


# ---- The same person


def test_a_bridge_between_two_contacts_makes_all_three_one_person_and_its_loss_parts_them():
    w = World()
    w.contact("ana", "CEO", emails=("a@customer.example",))
    w.contact("bea", "Buyer", emails=("b@customer.example",))
    w.deal(close_on=w.day(-3))
    w.activity("call", 3, "bea")
    assert w.stored().top_level == 0
    w.contact("bridge", emails=("a@customer.example", "b@customer.example"), updated_at=w.at(4))
    assert (w.stored().top_level, w.stored().engaged_count) == (3, 1)
    w.contact("bridge", emails=(), updated_at=w.at(3))
    assert (w.stored().top_level, w.stored().engaged_count) == (0, 1)
    with w.inside():
        assert len(set(Contact.objects.values_list("person", flat=True))) == 3
        assert not Person.objects.filter(contacts=None, addresses=None).exists()


def test_an_address_taken_off_a_contact_belongs_to_an_unknown_person_again():
    w = World()
    w.contact("ana", "CEO", emails=("ana@customer.example", "old@customer.example"))
    w.deal()
    w.activity("email", 3, ParticipantRecord("to", address="old@customer.example"))
    assert w.stored().top_level == 3
    w.contact("ana", "CEO", updated_at=w.at(1))
    deal = w.stored()
    assert (deal.engaged_count, deal.titled_count, deal.top_level) == (1, 0, None)


def test_a_merge_at_the_crm_joins_the_histories_of_both_contacts():
    w = World()
    w.contact("ana", emails=("ana@customer.example",))
    w.contact("dup", emails=("ana@home.example",))
    w.deal(created_at=w.at(60))
    w.activity("call", 30, "ana")
    w.activity("email", 20, ParticipantRecord("to", address="ana@home.example"))
    w.activity("call", 15, "dup")
    assert w.alerts()["single_contact"] == w.day(10)  # with the duplicate alone
    w.contact("dup", emails=("ana@home.example",), deleted=True, updated_at=w.at(1))
    w.contact("ana", emails=("ana@customer.example", "ana@home.example"), updated_at=w.at(1))
    assert w.alerts()["single_contact"] == w.day(20)
    assert w.stored().streak_count == 3


def test_addresses_differ_neither_by_case_nor_by_spaces():
    w = World()
    w.contact("ana", emails=(" Ana@Customer.example ",))
    w.deal()
    w.activity("email", 3, ParticipantRecord("to", address="ANA@customer.EXAMPLE"))
    with w.inside():
        assert [p.person.name for p in w.stored().people.select_related("person")] == ["Ana"]


@pytest.mark.parametrize(
    "text", ["x" * 10_000, "🤝 Déjà vu", "مدير المبيعات", "<script>alert(1)</script>", "tab\tnew\nline\\ back", "nul\0"]
)
def test_any_text_is_kept_as_it_is(text):
    w = World()
    w.contact("ana", text)
    w.deal(title=text)
    with w.inside():
        assert Contact.objects.get().job_title == Deal.objects.get().title == text.replace("\0", "")


def test_a_deal_of_which_the_crm_knows_almost_nothing_is_judged():
    w = World()
    w.deal(
        amount=None,
        currency="",
        pipeline=None,
        stage=None,
        owner=None,
        contacts=None,
        close_on=None,
        stage_entered_at=None,
        created_at=w.at(60),
    )
    assert w.alerts().keys() == {"no_activity", "no_meeting", "stuck_in_stage", "amount_empty", "deal_too_old"}
    with w.inside():
        assert Alert.objects.count() == 5
