"""`key_role`: for each chosen role, days since the last interaction that engages any of its holders on the deal."""

import pytest

from deals.models import Source
from deals.records import ContactRecord, DealContactRecord, ParticipantRecord, RoleRecord
from tests.world import World

pytestmark = pytest.mark.django_db

CHAMPION, DECIDER = "champion", "decision maker"


def world(**roles):
    w = World()
    w.configure(key_role={"roles": {key.replace("_", " "): days for key, days in (roles or {CHAMPION: 12}).items()}})
    return w


# created, last talk with the holder, reopened (days ago) · since when it holds (days ago), None: clear. Limit 12 days.
ROWS = [
    (11, None, None, None),
    (12, None, None, 0),
    (13, None, None, 1),
    (60, 11, None, None),
    (60, 12, None, 0),
    (60, 13, None, 1),
    (60, 40, 11, None),
    (60, 40, 12, 0),
    (60, 40, 13, 1),
    (11, 40, None, None),  # never counted from before creation
]


@pytest.mark.parametrize(("created", "talked", "reopened", "since"), ROWS)
def test_key_role(created, talked, reopened, since):
    w = world()
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(created), updated_at=w.at(created))
    if talked is not None:
        w.activity("call", talked, "ana")
    if reopened is not None:
        w.on_deal("ana", created_at=w.at(created), status="lost", updated_at=w.at(reopened + 1))
        w.on_deal("ana", created_at=w.at(created), updated_at=w.at(reopened))
    assert w.alerts().get("key_role:champion") == (None if since is None else w.day(since))


def test_only_interactions_that_engage_a_holder_count():
    w = world()
    w.contact("ana", roles=("Champion",))
    w.contact("bea")
    w.on_deal("ana", "bea", created_at=w.at(60))
    w.activity("email", 3, "bea", ParticipantRecord("cc", contact="ana"))
    w.activity("call", 2, "ana", state="attempt")
    w.activity("meeting", 1, ParticipantRecord("attendee", contact="ana", declined=True))
    assert w.alerts()["key_role:champion"] == w.day(48)


def test_any_of_several_holders_keeps_the_role_alive():
    w = world()
    for ref in ("ana", "bea"):
        w.contact(ref, roles=("Champion",))
    w.on_deal("ana", "bea", created_at=w.at(60))
    w.activity("call", 30, "ana")
    w.activity("call", 14, "bea")
    assert w.alerts()["key_role:champion"] == w.day(2)
    w.activity("call", 3, "ana")
    assert "key_role:champion" not in w.alerts()


def test_each_role_has_its_own_limit_and_its_own_alert():
    w = world(champion=12, decision_maker=30)
    w.contact("ana", roles=("Champion", "Decision maker"))
    w.on_deal("ana", created_at=w.at(60))
    w.activity("call", 20, "ana")
    assert {k: v for k, v in w.alerts().items() if k.startswith("key_role")} == {"key_role:champion": w.day(8)}
    with w.inside():
        assert w.stored().alerts.get(kind="key_role").evidence["limit"] == 12
    w.configure(key_role={"roles": {CHAMPION: 12, DECIDER: 20}})
    assert {k for k in w.alerts() if k.startswith("key_role")} == {"key_role:champion", "key_role:decision maker"}


@pytest.mark.parametrize("label", ["champion", "CHAMPION", "Chámpion", "champion!", " Champion "])
def test_names_that_differ_only_in_case_accents_or_punctuation_are_one_role(label):
    w = world()
    w.contact("ana", roles=(label,))
    w.on_deal("ana", created_at=w.at(60))
    assert "key_role:champion" in w.alerts()


def test_a_role_given_on_one_deal_holds_there_only():
    w = world()
    w.contact("ana")
    w.deal("d", contacts=(DealContactRecord("ana", roles=("CHAMPION",)),), created_at=w.at(60))
    w.deal("e", contacts=(DealContactRecord("ana"),), created_at=w.at(60))
    assert "key_role:champion" in w.alerts("d")
    assert "key_role:champion" not in w.alerts("e")


def test_a_person_has_the_roles_of_all_its_contacts_when_one_of_them_is_on_the_deal():
    w = world()
    w.contact("ana")
    w.contact("twin", emails=("ana@customer.example", "twin@home.example"), roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    assert w.alerts()["key_role:champion"] == w.day(48)
    w.activity("email", 3, ParticipantRecord("to", address="twin@home.example"))
    assert "key_role:champion" not in w.alerts()


def test_nobody_holds_the_role_is_not_evaluable_and_silent():
    w = world()
    w.contact("ana")
    w.on_deal("ana", created_at=w.at(60))
    w.activity("call", 30, "ana")
    verdict = w.verdict("key_role", subject=CHAMPION)
    assert (verdict.outcome, verdict.reason) == ("unknown", "no_holder")
    assert "key_role:champion" not in w.alerts()


def test_a_holder_who_is_not_on_the_deal_is_no_holder():
    w = world()
    w.contact("ana", roles=("Champion",))
    w.deal(created_at=w.at(60))
    w.activity("call", 30, "ana")
    assert w.verdict("key_role", subject=CHAMPION).reason == "no_holder"


@pytest.mark.parametrize("how", ["contact deleted", "off the deal", "role taken away"])
def test_the_last_holder_leaving_makes_the_role_silent(how):
    w = world()
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    assert "key_role:champion" in w.alerts()
    if how == "contact deleted":
        w.contact("ana", roles=("Champion",), deleted=True, updated_at=w.at(1))
    elif how == "off the deal":
        w.on_deal(created_at=w.at(60), updated_at=w.at(1))
    else:
        w.contact("ana", updated_at=w.at(1))
    assert "key_role:champion" not in w.alerts()
    assert ("key_role", "fact_changed") in w.reasons()


def test_contacts_that_were_not_read_stay_on_the_deal():
    w = world()
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    w.deal(contacts=None, created_at=w.at(60), updated_at=w.at(1))
    assert "key_role:champion" in w.alerts()


def test_no_role_chosen_is_no_verdict():
    w = World()
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    assert not [k for k in w.alerts() if k.startswith("key_role")]
    with pytest.raises(StopIteration):
        w.verdict("key_role")


def test_a_role_deleted_in_the_crm_is_stale_and_silent_until_it_comes_back():
    w = world()
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    assert "key_role:champion" in w.alerts()
    touched = w.write(roles=[RoleRecord("Decision maker")])
    assert touched == {w.stored().pk}
    assert "key_role:champion" not in w.alerts()
    assert w.reasons() == [("key_role", "role_deleted")]
    assert w.write(roles=[RoleRecord("Decision maker"), RoleRecord("Champion")]) == {w.stored().pk}
    assert "key_role:champion" in w.alerts()


# ---- Since when a role is known


def synchronised(w):
    with w.inside():
        Source.objects.update(first_synced_at=w.at(20))


def test_a_role_present_at_the_first_sync_is_known_since_creation():
    w = world()
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    synchronised(w)
    assert w.alerts()["key_role:champion"] == w.day(48)


def test_a_role_that_came_later_is_known_since_the_sync_that_first_saw_it():
    w = world(champion=1)
    w.contact("ana")
    w.on_deal("ana", created_at=w.at(60))
    synchronised(w)
    w.contact("ana", roles=("Champion",), updated_at=w.at(0))
    assert "key_role:champion" not in w.alerts()
    assert w.verdict("key_role", subject=CHAMPION).on == w.day(-1)


def test_a_successor_holds_the_role_since_it_was_seen_and_not_since_the_predecessor_did():
    w = world(champion=1)
    w.contact("ana", roles=("Champion",))
    w.contact("bea")
    w.on_deal("ana", "bea", created_at=w.at(60))
    synchronised(w)
    assert w.alerts()["key_role:champion"] == w.day(59)
    w.write(
        contacts=[
            ContactRecord("ana", "Ana", "", ("ana@customer.example",), None, (), w.at(0)),
            ContactRecord("bea", "Bea", "", ("bea@customer.example",), None, ("Champion",), w.at(0)),
        ]
    )
    assert "key_role:champion" not in w.alerts()
    assert w.verdict("key_role", subject=CHAMPION).on == w.day(-1)


def test_a_holder_who_turns_out_to_be_the_same_person_as_somebody_else_is_no_successor():
    w = world()
    w.contact("twin")
    w.contact("ana", roles=("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    synchronised(w)
    w.contact("ana", roles=("Champion",), emails=("ana@customer.example", "twin@customer.example"), updated_at=w.at(1))
    assert w.alerts()["key_role:champion"] == w.day(48)
    w.contact("ana", roles=("Champion",), updated_at=w.at(0))
    assert w.alerts()["key_role:champion"] == w.day(48)


def test_with_an_interaction_it_does_not_matter_since_when_the_role_is_known():
    w = world()
    w.contact("ana")
    w.on_deal("ana", created_at=w.at(60))
    w.activity("call", 15, "ana")
    synchronised(w)
    w.contact("ana", roles=("Champion",), updated_at=w.at(0))
    assert w.alerts()["key_role:champion"] == w.day(3)


def test_of_several_holders_the_earliest_says_since_when_the_role_is_known():
    w = world()
    w.contact("ana", roles=("Champion",))
    w.contact("bea")
    w.on_deal("ana", "bea", created_at=w.at(60))
    synchronised(w)
    w.contact("bea", roles=("Champion",), updated_at=w.at(0))
    assert w.alerts()["key_role:champion"] == w.day(48)
