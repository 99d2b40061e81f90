"""`power_map`: the close date is near, or over, and nobody senior enough was ever engaged."""

import pytest

from deals.models import Deal
from deals.records import ParticipantRecord
from deals.seniority import Level
from tests.world import World

pytestmark = pytest.mark.django_db

UNKNOWN = ParticipantRecord("to", address="who@else.example")
CC_BOSS = ParticipantRecord("cc", contact="boss")
TITLES = {"boss": "CEO", "vp": "VP Sales", "head": "Head of Sales", "clerk": "Buyer", "nameless": ""}

# engaged · days until the close date, None: none · outcome · since when it holds or would (days ago), or the reason.
# Level Director, 10 days.
ROWS = {
    "nobody engaged, just too far": ([], 11, "clear", -1),
    "nobody engaged, at the limit": ([], 10, "fires", 0),
    "nobody engaged, nearer": ([], 9, "fires", 1),
    "nobody engaged, today": ([], 0, "fires", 10),
    "nobody engaged, overdue": ([], -5, "fires", 15),
    "nobody engaged, no close date": ([], None, "unknown", "no_close_date"),
    "below the level": (["clerk"], 10, "fires", 0),
    "below the level, too far": (["clerk"], 11, "clear", -1),
    "at the level": (["head"], 5, "clear", None),
    "above the level": (["clerk", "boss"], 5, "clear", None),
    "at the level, overdue": (["head"], -5, "clear", None),
    "at the level before there is a close date": (["head"], None, "clear", None),
    "in copy only": ([CC_BOSS], 5, "fires", 5),
    "no title, near": (["nameless"], 5, "unknown", "no_titles"),
    "no title, at the limit": (["nameless"], 10, "unknown", "no_titles"),
    "no title, too far": (["nameless"], 11, "clear", None),
    "no title, no close date": (["nameless"], None, "unknown", "no_close_date"),
    "an unknown contact has no title": ([UNKNOWN], 5, "unknown", "no_titles"),
    "one with a title below, one without": (["clerk", "nameless"], 5, "fires", 5),
}


@pytest.mark.parametrize(("who", "ahead", "outcome", "told"), ROWS.values(), ids=ROWS)
def test_power_map(who, ahead, outcome, told):
    w = World()
    for ref, title in TITLES.items():
        w.contact(ref, title)
    w.deal(created_at=w.at(60), close_on=None if ahead is None else w.day(-ahead))
    for party in who:
        w.activity("email", 40, party)
    verdict = w.verdict("power_map")
    assert verdict.outcome == outcome
    if outcome == "unknown":
        assert verdict.reason == told
    else:
        assert (verdict.reason, verdict.on) == ("", None if told is None else w.day(told))
    assert ("power_map" in w.alerts()) is (outcome == "fires")


@pytest.mark.parametrize(
    ("level", "who", "fires"),
    [
        (Level.DIRECTOR, "head", False),
        (Level.VP, "head", True),
        (Level.VP, "vp", False),
        (Level.C_LEVEL, "vp", True),
        (Level.C_LEVEL, "boss", False),
    ],
)
def test_the_level_is_a_setting(level, who, fires):
    w = World()
    w.configure(power_map={"level": level.value})
    w.contact(who, TITLES[who])
    w.deal(close_on=w.day(-5))
    w.activity("call", 3, who)
    assert ("power_map" in w.alerts()) is fires


@pytest.mark.parametrize(("days", "ahead", "fires"), [(0, 1, False), (0, 0, True), (30, 30, True), (30, 31, False)])
def test_the_days_before_the_close_date_are_a_setting(days, ahead, fires):
    w = World()
    w.configure(power_map={"days": days})
    w.deal(close_on=w.day(-ahead))
    assert ("power_map" in w.alerts()) is fires


def test_power_map_never_holds_since_before_creation_or_reopening():
    w = World()
    w.deal(created_at=w.at(20), close_on=w.day(15))
    assert w.alerts()["power_map"] == w.day(20)
    w.deal(created_at=w.at(20), close_on=w.day(15), status="lost", updated_at=w.at(4))
    w.deal(created_at=w.at(20), close_on=w.day(15), updated_at=w.at(3))
    assert w.alerts()["power_map"] == w.day(3)


def test_the_highest_title_of_contacts_that_share_an_address_counts():
    w = World()
    w.contact("clerk", "Buyer")
    w.contact("twin", "Directrice des achats", emails=("clerk@customer.example",))
    w.deal(close_on=w.day(-5))
    w.activity("call", 3, "clerk")
    assert w.verdict("power_map").outcome == "clear"


def test_a_title_that_is_corrected_is_seen_at_once():
    w = World()
    w.contact("ana", "Buyer")
    w.deal(close_on=w.day(-5))
    w.activity("call", 3, "ana")
    assert "power_map" in w.alerts()
    w.contact("ana", "Chief Procurement Officer", updated_at=w.at(0))
    assert "power_map" not in w.alerts()


def test_power_map_says_how_many_of_the_engaged_have_no_title():
    w = World()
    w.contact("ana", "Buyer")
    w.contact("nameless")
    w.deal(close_on=w.day(-5))
    w.activity("call", 3, "ana", "nameless")
    w.evaluate()
    with w.inside():
        evidence = Deal.objects.get().alerts.get(kind="power_map").evidence
    assert evidence == {
        "close_on": w.day(-5).isoformat(),
        "level": Level.DIRECTOR.value,
        "top_level": Level.NONE.value,
        "engaged": 2,
        "untitled": 1,
        "limit": 10,
        "reopened_on": None,
    }
