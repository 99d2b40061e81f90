"""An alert's history: when it was first seen, when and why it went, and that it comes back as a new one."""

import pytest

from alerts import engine
from alerts.models import Alert
from deals.records import RoleRecord
from tests.alerts.writing import history, later
from tests.world import World

pytestmark = pytest.mark.django_db


def test_opened_at_is_when_it_was_first_seen_and_stays():
    w = World()
    w.deal(created_at=w.at(60))
    w.evaluate()
    first = w.clock.now
    later(w, days=1)
    w.evaluate()
    assert history(w, "no_activity") == [(first, None, "")]
    assert w.alerts()["no_activity"] == w.day(51)


def resolve_by(w, cause):
    old = {"created_at": w.at(60), "contacts": None, "updated_at": w.at(0)}
    match cause:
        case "fact_changed":
            w.activity("call", 1, "ana")
        case "won" | "lost":
            w.deal(**old, status=cause)
        case "archived" | "deleted":
            w.deal(**old, **{cause: True})
        case "rule_off":
            w.configure(no_activity=False, key_role=False)
        case "settings_changed":
            w.configure(no_activity={"days": 300}, key_role={"roles": {"champion": 300}})
        case "role_deleted":
            w.write(roles=[RoleRecord("Decision maker")])


@pytest.mark.parametrize("cause", Alert.Reason.values)
def test_an_alert_is_resolved_with_the_reason_that_made_its_hit_go(cause):
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    assert {"no_activity", "key_role:champion"} <= w.alerts().keys()
    opened = w.clock.now
    later(w, hours=1)
    resolve_by(w, cause)
    w.evaluate()
    assert history(w, "key_role") == [(opened, w.clock.now, cause)]
    if cause != "role_deleted":
        assert history(w, "no_activity") == [(opened, w.clock.now, cause)]
    if cause in ("won", "lost", "archived", "deleted"):
        assert w.alerts() == {}
        assert w.stored().alert_mask == 0


def test_taking_a_role_off_the_list_is_a_change_of_settings():
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    w.evaluate()
    w.configure(key_role={"roles": {}})
    w.evaluate()
    assert w.reasons() == [("key_role", "settings_changed")]


def test_settings_that_were_saved_long_ago_are_not_the_reason_of_a_later_change():
    w = World()
    w.deal(created_at=w.at(60))
    w.evaluate()
    w.configure(no_activity={"days": 20})
    w.evaluate()
    w.activity("call", 1)
    w.evaluate()
    assert ("no_activity", "fact_changed") in w.reasons()


def test_another_limit_refreshes_an_alert_that_still_fires():
    w = World()
    w.deal(created_at=w.at(60))
    w.evaluate()
    opened = w.clock.now
    later(w, hours=1)
    w.configure(no_activity={"days": 20})
    assert w.evaluate().resolved == 0
    assert history(w, "no_activity") == [(opened, None, "")]
    assert w.alerts()["no_activity"] == w.day(40)


def test_what_fires_again_is_a_new_alert():
    w = World()
    w.deal(created_at=w.at(60))
    w.evaluate()
    first = w.clock.now
    later(w, hours=1)
    w.deal(created_at=w.at(60), status="lost", updated_at=w.clock.now)
    w.evaluate()
    closed = w.clock.now
    later(w, days=11)
    w.deal(created_at=w.at(60), updated_at=w.at(10))
    w.evaluate()
    assert history(w, "no_activity") == [(first, closed, "lost"), (w.clock.now, None, "")]
    assert w.alerts()["no_activity"] == w.day(0)


def test_a_new_fact_refreshes_an_alert_and_keeps_its_history():
    w = World()
    w.deal(created_at=w.at(60))
    w.evaluate()
    opened = w.clock.now
    later(w, hours=1)
    w.activity("email", 14)
    assert w.evaluate() == engine.Outcome(0, 1, 0)
    assert history(w, "no_activity") == [(opened, None, "")]
    assert w.alerts()["no_activity"] == w.day(4)
