"""What no CRM should deliver and every CRM does: senseless dates, doubles, merges, things that are gone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from alerts.rules import BY_KIND
from crm_sync.providers.hubspot import mapping as hubspot
from deals.models import DealPerson
from deals.records import DealContactRecord, ParticipantRecord, PipelineRecord, StageRecord
from tests.world import World

pytestmark = pytest.mark.django_db

EPOCH, FAR = datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, 23, 59, tzinfo=UTC)
ADDRESS = "ana@customer.example"


def world(**configured):
    """A deal of 60 days with Ana on it; limit 5 for all that counts days."""
    w = World()
    five = {"days": 5}
    w.configure(
        **dict.fromkeys(("no_activity", "single_contact", "stuck_in_stage", "deal_too_old", "power_map"), five),
        key_role={"roles": {"champion": 5}},
        **configured,
    )
    w.contact("ana", "Buyer", ("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    return w


def verdicts(w, deal="d"):
    found = {}
    for kind in BY_KIND:
        verdict = w.verdict(kind, deal, "champion" if kind == "key_role" else "")
        found[kind] = (verdict.outcome, verdict.on, verdict.reason)
    return found


# ---- Senseless dates


@pytest.mark.parametrize("business_days", [False, True])
@pytest.mark.parametrize("at", [EPOCH, EPOCH - timedelta(seconds=1), datetime(1900, 1, 1, tzinfo=UTC)])
def test_an_activity_of_1970_is_older_than_the_deal_and_counts_from_its_creation(at, business_days):
    w = world(business_days=business_days)
    before = verdicts(w)
    w.activity("call", None, "ana", at=at)
    assert verdicts(w) == before
    w.activity("email", None, "ana", at=at - timedelta(days=1))
    after = verdicts(w)
    assert after["single_contact"] == ("fires", after["no_activity"][1], "")  # five days after creation
    assert {k: v for k, v in after.items() if k != "single_contact"} == {
        k: v for k, v in before.items() if k != "single_contact"
    }


@pytest.mark.parametrize("business_days", [False, True])
@pytest.mark.parametrize("kind", ["call", "email", "message", "meeting"])
def test_what_is_dated_2099_has_not_happened(kind, business_days):
    w = world(business_days=business_days)
    for days_ago in (8, 7):
        w.activity("call", days_ago, "ana")
    before = verdicts(w)
    w.activity(kind, None, ParticipantRecord("to", address="bea@customer.example"), at=FAR)
    after = verdicts(w)
    lies_ahead = ("clear", date(2100, 1, 2), "")  # 1 January in Paris, and the day after
    assert after.pop("no_meeting") == (lies_ahead if kind in ("call", "meeting") else before["no_meeting"])
    before.pop("no_meeting")
    assert after == before


@pytest.mark.parametrize("business_days", [False, True])
@pytest.mark.parametrize(
    ("close_on", "outcome", "on"),
    [
        (date(1900, 1, 1), "fires", 60),
        (date(1970, 1, 1), "fires", 60),
        (date(2099, 12, 31), "clear", date(2099, 12, 26)),
        (date(8999, 12, 31), "clear", date(8999, 12, 26)),
    ],
)
def test_a_close_date_beyond_any_calendar_is_counted_in_calendar_days(close_on, outcome, on, business_days):
    w = world(business_days=business_days)
    w.on_deal("ana", created_at=w.at(60), close_on=close_on)
    verdict = w.verdict("power_map")
    assert (verdict.outcome, verdict.on) == (outcome, on if isinstance(on, date) else w.day(on))
    passed = w.verdict("close_date_passed")
    assert (passed.outcome, passed.on) == (outcome, w.day(60) if outcome == "fires" else close_on + timedelta(days=1))
    assert ("power_map" in w.alerts()) is (outcome == "fires")


def test_a_deal_created_in_1970_is_old_since_then():
    w = world()
    w.deal("old", created_at=EPOCH)
    assert w.alerts("old")["deal_too_old"] == date(1970, 1, 6)


@pytest.mark.parametrize("business_days", [False, True])
def test_a_deal_created_in_the_future_has_no_alert_before(business_days):
    w = world(business_days=business_days)
    w.deal("new", created_at=w.at(-3), close_on=w.day(30), amount=None)
    w.activity("call", 40, "ana", deal="new")
    w.activity("call", 30, "ana", deal="new")
    assert w.alerts("new") == {}
    judged = {kind: v for kind, v in verdicts(w, "new").items() if kind != "key_role"}
    assert {outcome for outcome, _, _ in judged.values()} == {"clear"}
    assert min(on for _, on, _ in judged.values()) == w.day(-3)
    w.clock = replace(w.clock, now=w.at(-3))
    assert {"no_meeting", "close_date_passed", "amount_empty", "power_map"} == w.alerts("new").keys()


# ---- Ends before starts


def test_a_meeting_that_ends_before_it_starts_happened_when_it_started():
    w = world()
    times = {"hs_meeting_start_time": w.at(3).isoformat(), "hs_meeting_end_time": w.at(40).isoformat()}
    told = {"createdAt": w.at(50).isoformat(), "updatedAt": w.at(0).isoformat(), "archived": False}
    record = hubspot.activity("meetings", {"id": "7", "properties": times, **told})
    w.write(activities=[replace(record, deals=("d",))])
    assert w.stored().last_interaction_on == w.stored().planned_until_on == w.day(3)


def test_a_stage_entered_before_the_deal_was_created_counts_from_creation():
    w = world()
    w.deal("d", created_at=w.at(6), stage_entered_at=w.at(50), updated_at=w.at(1))
    w.deal("e", created_at=w.at(4), stage_entered_at=w.at(50))
    assert w.alerts("d")["stuck_in_stage"] == w.day(1)
    assert "stuck_in_stage" not in w.alerts("e")


# ---- Doubles


@pytest.mark.parametrize(
    "who",
    [
        (ParticipantRecord("to", address=ADDRESS), ParticipantRecord("to", address=f" {ADDRESS.upper()} ")),
        (ParticipantRecord("to", address=ADDRESS), ParticipantRecord("cc", address=ADDRESS)),
        (ParticipantRecord("to", address=ADDRESS), ParticipantRecord("to", contact="ana")),
        (ParticipantRecord("to", contact="twin"), ParticipantRecord("to", contact="ana")),
        (ParticipantRecord("from", address=ADDRESS), ParticipantRecord("to", address=ADDRESS)),
    ],
    ids=["twice", "and in copy", "by address and by contact", "two contacts, one address", "to oneself"],
)
def test_somebody_who_is_named_twice_is_one_person(who):
    w = world()
    w.contact("twin", emails=(ADDRESS, ADDRESS.upper(), "ana@home.example"))
    for days_ago in (8, 7):
        w.activity("email", days_ago, *who)
    with w.inside():
        [one] = DealPerson.objects.all()
        assert one.interactions == 2
    assert w.alerts()["single_contact"] == w.day(3)


def test_a_contact_on_the_deal_twice_holds_its_roles_once():
    w = world()
    w.contact("twin", emails=(ADDRESS,), roles=("Champion",))
    both = (DealContactRecord("ana"), DealContactRecord("ana", roles=("CHAMPION",)), DealContactRecord("twin"))
    w.deal(created_at=w.at(60), contacts=both, updated_at=w.at(1))
    assert len(w.stored().roles["champion"]["holders"]) == 1
    assert w.alerts()["key_role:champion"] == w.day(55)


# ---- Merged


def test_a_contact_that_is_merged_into_another_leaves_the_verdicts_as_they_were():
    w = world()
    w.contact("dup", "Head of Sales", ("Champion",), emails=("ana@home.example",))
    w.on_deal("ana", "dup", created_at=w.at(60), updated_at=w.at(2))
    for days_ago in (8, 7):
        w.activity("email", days_ago, ParticipantRecord("to", address="ana@home.example"))
    before = verdicts(w)
    w.contact("dup", "Head of Sales", ("Champion",), emails=("ana@home.example",), deleted=True, updated_at=w.at(1))
    w.contact(
        "ana", "Head of Sales", ("Champion",), emails=(ADDRESS, "ana@home.example"), updated_at=w.at(1)
    )  # the survivor has what the other had
    w.on_deal("ana", created_at=w.at(60), updated_at=w.at(1))
    assert before["power_map"][0] == "clear"
    assert verdicts(w) == before


def test_a_contact_that_is_deleted_was_engaged_all_the_same():
    w = world()
    for days_ago in (8, 7):
        w.activity("call", days_ago, "ana")
    before = w.verdict("single_contact").on
    w.contact("ana", "Buyer", ("Champion",), deleted=True, updated_at=w.at(1))
    assert w.verdict("single_contact").on == before == w.day(3)
    assert w.verdict("key_role", subject="champion").reason == "no_holder"


# ---- Gone


def test_deals_in_a_deleted_pipeline_and_stage_are_judged_as_before():
    w = world(amount_empty={"zero": True})
    before = verdicts(w)
    w.write(
        pipelines=[PipelineRecord("p", "Sales", 1, deleted=True)],
        stages=[StageRecord("s1", "p", "Demo", 1, deleted=True), StageRecord("s2", "p", "Offer", 2, deleted=True)],
    )
    assert verdicts(w) == before
    assert {"no_activity", "stuck_in_stage"} <= w.alerts().keys()


def test_a_deal_in_a_deleted_pipeline_that_is_watched_by_name_stays_watched():
    w = world()
    w.deal("e", created_at=w.at(60), pipeline="q", stage="q1")
    w.configure(pipelines=[w.stored().pipeline_id])
    w.write(pipelines=[PipelineRecord("p", "Sales", 1, deleted=True)])
    assert "no_activity" in w.alerts()
    assert w.alerts("e") == {}


def test_a_deal_whose_pipeline_stage_owner_and_contact_never_arrive_is_judged():
    w = world()
    nobody = (DealContactRecord("nobody"),)
    w.deal("e", created_at=w.at(60), pipeline="x", stage="x", owner="x", contacts=nobody, close_on=None, amount=None)
    assert {"no_activity", "no_meeting", "stuck_in_stage", "amount_empty", "deal_too_old"} == w.alerts("e").keys()
    judged = verdicts(w, "e")
    assert {judged[kind][2] for kind in ("power_map", "close_date_passed")} == {"no_close_date"}
    assert judged["key_role"][2] == "no_holder"
