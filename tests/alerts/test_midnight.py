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
    w.configure(no_activity={"days": 3}, deal_too_old={"days": 60}, stuck_in_stage={"days": 4})
    w.deal(
        created_at=midnight(today - timedelta(days=59), zone) - SECOND,
        stage_entered_at=midnight(today - timedelta(days=3), zone) - SECOND,
        close_on=today - timedelta(days=1),
    )
    w.activity("call", None, at=midnight(today - timedelta(days=2), zone) - SECOND)
    w.activity("meeting", None, state="planned", at=yesterday_ends, ends_at=yesterday_ends)
    assert "power_map" in w.alerts()
    late = {"no_activity", "no_meeting", "deal_too_old", "stuck_in_stage", "close_date_passed"}
    assert not late & w.alerts().keys()
    assert {w.verdict(kind).on for kind in late} == {today}
    w.clock = replace(w.clock, now=begins)
    found = w.alerts()
    assert {kind: found.get(kind) for kind in late} == dict.fromkeys(late, today)


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
