"""`no_meeting` fires from the local day after the day on which the last planned meeting or scheduled call ends."""

from dataclasses import replace
from datetime import timedelta

import pytest

from deals.records import ParticipantRecord
from tests.world import World

pytestmark = pytest.mark.django_db

ME = ParticipantRecord("attendee", colleague="me")
ORGANISER = ParticipantRecord("organiser", colleague="me")
DECLINED = ParticipantRecord("attendee", contact="ana", declined=True)

# kind, days ago (negative: ahead), participants, fields · since when it holds (days ago), None: clear.
# The deal was created 5 days ago.
ROWS = {
    "a meeting tomorrow": ("meeting", -1, ["ana"], {"state": "planned"}, None),
    "a meeting today, over": ("meeting", 0, ["ana"], {"state": "planned", "hour": 9}, None),
    "a meeting today, to come": ("meeting", 0, ["ana"], {"state": "planned", "hour": 18}, None),
    "a meeting yesterday, never marked done": ("meeting", 1, ["ana"], {"state": "planned"}, 0),
    "a meeting two days ago": ("meeting", 2, ["ana"], {}, 1),
    "a meeting ahead at HubSpot": ("meeting", -3, ["ana"], {}, None),
    "a meeting before the deal's creation": ("meeting", 30, ["ana"], {}, 5),
    "cancelled": ("meeting", -1, ["ana"], {"state": "cancelled"}, 5),
    "rescheduled": ("meeting", -1, ["ana"], {"state": "rescheduled"}, 5),
    "deleted": ("meeting", -1, ["ana"], {"state": "planned", "deleted": True}, 5),
    "without recorded invitee": ("meeting", -1, [], {"state": "planned"}, None),
    "with only its organiser": ("meeting", -1, [ORGANISER], {"state": "planned"}, None),
    "among colleagues": ("meeting", -1, [ORGANISER, ME], {"state": "planned"}, 5),
    "every customer declined": ("meeting", -1, [ORGANISER, DECLINED], {"state": "planned"}, 5),
    "one declined, one comes": ("meeting", -1, ["bea", DECLINED], {"state": "planned"}, None),
    "a no-show today": ("meeting", 0, ["ana"], {"state": "no_show", "hour": 9}, None),
    "a no-show yesterday": ("meeting", 1, ["ana"], {"state": "no_show"}, 0),
    "a call that took place today": ("call", 0, ["ana"], {"hour": 9}, None),
    "a call that took place yesterday": ("call", 1, ["ana"], {}, 0),
    "an attempt today": ("call", 0, ["ana"], {"state": "attempt", "hour": 9}, 5),
    "a scheduled call": ("call", -1, ["ana"], {"state": "planned"}, None),
    "an undone call of today": ("call", 0, ["ana"], {"state": "planned", "hour": 9}, None),
    "a call object that lies ahead": ("call", -1, ["ana"], {}, None),
    "an e-mail to be sent": ("email", -1, ["ana"], {}, 5),
    "an all-day meeting today": ("meeting", None, ["ana"], {"state": "planned", "on_ago": 0}, None),
    "an all-day meeting yesterday": ("meeting", None, ["ana"], {"state": "planned", "on_ago": 1}, 0),
}


@pytest.mark.parametrize(("kind", "days_ago", "who", "fields", "since"), ROWS.values(), ids=ROWS)
def test_no_meeting(kind, days_ago, who, fields, since):
    w = World()
    fields = dict(fields)
    w.contact("ana")
    w.contact("bea")
    w.deal(created_at=w.at(5))
    if (hour := fields.pop("hour", None)) is not None:
        fields["at"] = w.at(days_ago, hour)
    if (on := fields.pop("on_ago", None)) is not None:
        fields["on"] = w.day(on)
    w.activity(kind, days_ago, *who, **fields)
    assert w.alerts().get("no_meeting") == (None if since is None else w.day(since))


def test_no_meeting_ever_planned_holds_since_creation_or_reopening():
    w = World()
    w.deal(created_at=w.at(60))
    assert w.alerts()["no_meeting"] == w.day(60)
    w.deal(created_at=w.at(60), status="lost", updated_at=w.at(4))
    w.deal(created_at=w.at(60), updated_at=w.at(3))
    assert w.alerts()["no_meeting"] == w.day(3)


def test_a_meeting_planned_over_midnight_counts_on_the_day_on_which_it_ends():
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("meeting", None, state="planned", at=w.at(1, 22), starts_at=w.at(1, 22), ends_at=w.at(0, 2))
    assert "no_meeting" not in w.alerts()
    assert w.verdict("no_meeting").on == w.day(-1)


def test_a_meeting_marked_done_early_no_longer_lies_ahead():
    w = World()
    w.deal(created_at=w.at(60))
    meeting = {"external_id": "meeting/m", "starts_at": w.at(-3, 9), "ends_at": w.at(-3, 10)}
    w.activity("meeting", None, state="planned", at=w.at(-3, 10), **meeting)
    assert "no_meeting" not in w.alerts()
    w.activity("meeting", None, state="held", at=w.at(1), done_at=w.at(1), **meeting)
    assert w.alerts()["no_meeting"] == w.day(0)


def test_the_last_of_several_meetings_decides():
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("meeting", -2, state="planned", external_id="meeting/far")
    w.activity("meeting", 4)
    w.activity("call", 2)
    assert "no_meeting" not in w.alerts()
    w.activity("meeting", -2, state="cancelled", external_id="meeting/far")
    assert w.alerts()["no_meeting"] == w.day(1)


def test_an_accepted_invitation_that_is_declined_later_takes_the_meeting_away():
    w = World()
    w.contact("ana")
    w.deal(created_at=w.at(60))
    w.activity("meeting", -2, ORGANISER, "ana", state="planned", external_id="meeting/m")
    assert "no_meeting" not in w.alerts()
    w.activity("meeting", -2, ORGANISER, DECLINED, state="planned", external_id="meeting/m")
    assert w.alerts()["no_meeting"] == w.day(60)


def test_a_planned_meeting_becomes_past_by_time_alone():
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("meeting", -1, state="planned")
    for days, fires in [(0, False), (1, False), (2, True)]:
        later = replace(w.clock, now=w.clock.now + timedelta(days=days))
        w.clock, today = later, w.clock
        assert ("no_meeting" in w.alerts()) is fires
        w.clock = today


@pytest.mark.parametrize("state", ["planned", "no_show"])
def test_a_meeting_that_ends_before_it_starts_ends_with_its_start(state):
    w = World()
    w.deal()
    w.activity("meeting", 0, "ana", state=state, ends_at=w.at(4))
    assert "no_meeting" not in w.alerts()
