"""Days are local dates of the organisation: on ordinary nights, and on both nights on which the clocks change."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.world import World

pytestmark = pytest.mark.django_db

NIGHTS = [
    ("Europe/Paris", date(2026, 1, 15)),
    ("Europe/Paris", date(2026, 3, 29)),
    ("Europe/Paris", date(2026, 10, 25)),
    ("America/Los_Angeles", date(2026, 1, 15)),
    ("America/Los_Angeles", date(2026, 3, 8)),
    ("America/Los_Angeles", date(2026, 11, 1)),
    ("Pacific/Auckland", date(2026, 1, 15)),
    ("Pacific/Auckland", date(2026, 4, 5)),
    ("Pacific/Auckland", date(2026, 9, 27)),
]
SECOND = timedelta(seconds=1)


def midnight(day, zone):
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize("after", [0, 1], ids=["midnight before", "midnight after"])
@pytest.mark.parametrize(("zone", "night"), NIGHTS)
def test_alerts_fire_at_the_organisations_midnight(zone, night, after):
    today = night + timedelta(days=after)
    begins = midnight(today, zone)
    yesterday_ends = begins - SECOND
    w = World(yesterday_ends, zone)
    three = {"days": 3}
    w.configure(
        no_activity=three,
        single_contact=three,
        key_role={"roles": {"champion": 3}},
        power_map=three,
        deal_too_old={"days": 60},
        stuck_in_stage={"days": 4},
    )
    w.contact("ana", "Buyer", ("Champion",))
    born = midnight(today - timedelta(days=59), zone) - SECOND
    w.deal(
        created_at=born,
        stage_entered_at=midnight(today - timedelta(days=3), zone) - SECOND,
        close_on=today - timedelta(days=1),
    )
    talked = midnight(today - timedelta(days=2), zone) - SECOND
    w.activity("call", None, at=talked)
    w.activity("meeting", None, state="planned", at=yesterday_ends, ends_at=yesterday_ends)
    w.on_deal("ana", ref="e", created_at=born, close_on=today + timedelta(days=3))
    w.activity("call", None, "ana", deal="e", at=talked)
    w.activity("call", None, "ana", deal="e", at=talked - SECOND)
    assert "power_map" in w.alerts("d")
    late = {
        "d": {"no_activity", "no_meeting", "deal_too_old", "stuck_in_stage", "close_date_passed"},
        "e": {"no_activity", "single_contact", "key_role:champion", "power_map", "deal_too_old"},
    }
    for deal, kinds in late.items():
        assert not kinds & w.alerts(deal).keys()
        assert {w.verdict(kind, deal, role).on for kind, _, role in (k.partition(":") for k in kinds)} == {today}
    w.clock = replace(w.clock, now=begins)
    for deal, kinds in late.items():
        found = w.alerts(deal)
        assert {kind: found.get(kind) for kind in kinds} == dict.fromkeys(kinds, today)


@pytest.mark.parametrize("seconds", [-1, 0, 1])
@pytest.mark.parametrize("after", [0, 1], ids=["midnight before", "midnight after"])
@pytest.mark.parametrize(("zone", "night"), NIGHTS)
def test_every_fact_belongs_to_its_local_day(zone, night, after, seconds):
    begins = night + timedelta(days=after)
    moment = midnight(begins, zone) + seconds * SECOND
    day = begins - timedelta(days=seconds < 0)
    w = World(moment, zone)
    w.configure(key_role={"roles": {"champion": 1}})
    w.first_synced()
    w.contact("ana")
    before = {"created_at": moment - timedelta(days=30), "stage_entered_at": None, "close_on": day + timedelta(days=90)}
    w.on_deal("ana", **before, status="lost", updated_at=moment - SECOND)
    w.on_deal("ana", **before, stage="s2", amount=None, updated_at=moment)
    w.contact("ana", roles=("Champion",), updated_at=moment)
    w.activity("email", None, deal="d", at=moment)
    w.activity("meeting", None, state="planned", at=moment, starts_at=moment - SECOND, ends_at=moment)
    w.deal("young", created_at=moment, amount=None)
    w.clock = replace(w.clock, now=moment + timedelta(days=2))
    d = w.stored()
    assert {d.reopened_on, d.stage_entered_on, d.last_interaction_on, d.planned_until_on} == {day}
    assert d.roles["champion"]["since"] == day.isoformat()
    assert w.stored("young").created_on == day
    assert (w.alerts()["amount_empty"], w.alerts("young")["amount_empty"]) == (day, day)
    assert w.alerts()["key_role:champion"] == day + timedelta(days=1)
    assert w.alerts("young")["no_meeting"] == day


@pytest.mark.parametrize(
    ("zone", "passed"), [("Europe/Paris", False), ("America/Los_Angeles", False), ("Pacific/Auckland", True)]
)
def test_the_same_moment_is_another_day_elsewhere(zone, passed):
    w = World(datetime(2026, 11, 22, 11, 30, tzinfo=UTC), zone)
    w.deal(close_on=date(2026, 11, 22))
    assert ("close_date_passed" in w.alerts()) is passed


def test_the_hour_that_the_autumn_night_repeats_belongs_to_one_day():
    w = World(datetime(2026, 10, 27, 11, tzinfo=UTC))
    w.configure(single_contact={"days": 2})
    w.contact("ana")
    w.deal(created_at=w.at(60))
    w.activity("call", None, "ana", at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))  # 02:30, summer time
    w.activity("call", None, "ana", at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))  # 02:30 again
    assert w.stored().streak_count == 2
    assert w.alerts()["single_contact"] == date(2026, 10, 27)
