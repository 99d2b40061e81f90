import pytest

from tests.world import World


@pytest.mark.django_db
def test_smoke():
    w = World()
    w.contact("ana", "CEO", ("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    w.activity("call", 14, "ana")
    w.configure(key_role={"roles": {"champion": 12}})
    print(w.alerts())
    print(w.verdict("no_meeting"), w.verdict("power_map"))
    d = w.stored()
    print(d.streak_on, d.top_level, d.engaged_count, bin(d.alert_mask))
