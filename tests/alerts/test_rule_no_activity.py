"""`no_activity` fires when days since the latest of last interaction, creation and reopening reach the limit."""

import pytest

from tests.world import World

pytestmark = pytest.mark.django_db

# created, last interaction, reopened (days ago) · limit · since when it holds (days ago), None: clear
ROWS = [
    (9, None, None, 10, None),
    (10, None, None, 10, 0),
    (11, None, None, 10, 1),
    (60, 9, None, 10, None),
    (60, 10, None, 10, 0),
    (60, 11, None, 10, 1),
    (60, 20, 9, 10, None),
    (60, 20, 10, 10, 0),
    (60, 20, 11, 10, 1),
    (60, 9, 20, 10, None),
    (5, 30, None, 10, None),  # counted from creation although the interaction is older
    (10, 30, None, 10, 0),
    (60, 1, None, 1, 0),
    (60, 0, None, 1, None),
    (366, None, None, 365, 1),
    (364, None, None, 365, None),
]


@pytest.mark.parametrize(("created", "talked", "reopened", "limit", "since"), ROWS)
def test_no_activity(created, talked, reopened, limit, since):
    w = World()
    w.configure(no_activity={"days": limit})
    w.deal(created_at=w.at(created), updated_at=w.at(created))
    if talked is not None:
        w.activity("call", talked)
    if reopened is not None:
        w.deal(created_at=w.at(created), status="lost", updated_at=w.at(reopened + 1))
        w.deal(created_at=w.at(created), updated_at=w.at(reopened))
    assert w.alerts().get("no_activity") == (None if since is None else w.day(since))


@pytest.mark.parametrize("kind", ["call", "email", "message", "meeting"])
def test_no_activity_is_cleared_by_every_kind_of_interaction(kind):
    w = World()
    w.deal(created_at=w.at(60))
    assert "no_activity" in w.alerts()
    w.activity(kind, 9)
    assert "no_activity" not in w.alerts()


def test_no_activity_ignores_planned_calls():
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("call", -1, state="planned")
    assert w.alerts()["no_activity"] == w.day(50)


def test_no_activity_says_what_it_found_and_its_limit():
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("call", 14)
    w.evaluate()
    with w.inside():
        alert = w.stored().alerts.get(kind="no_activity")
        assert alert.evidence == {
            "since": w.day(14).isoformat(),
            "last_on": w.day(14).isoformat(),
            "activity": w.stored().last_interaction_id,
            "reopened_on": None,
            "limit": 10,
        }


def test_a_clear_deal_tells_when_it_would_fire():
    w = World()
    w.deal(created_at=w.at(7))
    verdict = w.verdict("no_activity")
    assert (verdict.outcome, verdict.on, verdict.limit) == ("clear", w.day(-3), 10)


def test_unarchiving_and_restoring_are_no_reopening():
    w = World()
    w.deal(created_at=w.at(60), archived=True, updated_at=w.at(4))
    w.deal(created_at=w.at(60), deleted=True, updated_at=w.at(3))
    w.deal(created_at=w.at(60), updated_at=w.at(2))
    assert w.stored().reopened_at is None
    assert w.alerts()["no_activity"] == w.day(50)


def test_only_the_last_reopening_counts():
    w = World()
    for status, days_ago in [("won", 30), ("open", 29), ("lost", 13), ("open", 12)]:
        w.deal(created_at=w.at(60), status=status, updated_at=w.at(days_ago))
    assert w.stored().reopened_on == w.day(12)
    assert w.alerts()["no_activity"] == w.day(2)
