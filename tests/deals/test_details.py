"""A deal's own history and participants, read after the deal: what they replace and what follows from them."""

from datetime import timedelta
from typing import Any

import pytest

from deals.models import DealContact, FieldChange
from deals.records import ChangeRecord, DealContactRecord, DealParticipantsRecord, HistoryRecord, MergeRecord
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def w() -> World:
    return World()


def told(w: World, *changes: Any, deal: str = "d") -> None:
    """(field, old, new, days ago)"""
    records = tuple(ChangeRecord(field, old, new, w.at(ago)) for field, old, new, ago in changes)
    w.write(histories=[HistoryRecord(deal, records)])


def changes(w: World) -> list[tuple[str, str | None, str | None]]:
    with w.inside():
        return list(FieldChange.objects.order_by("changed_at", "pk").values_list("field", "old", "new"))


def on_deal(w: World) -> dict[str, tuple[bool, bool, list[str]]]:
    with w.inside():
        rows = DealContact.objects.values_list("contact_ref", "primary", "participant", "roles")
        return {ref: (primary, participant, roles) for ref, primary, participant, roles in rows}


def participants(w: World, *contacts: str, since: Any = None) -> None:
    w.write(participants=[DealParticipantsRecord("d", tuple((contact, since) for contact in contacts))])


# ---- History


def test_the_crms_history_replaces_what_was_seen_between_two_readings(w: World) -> None:
    w.deal(updated_at=w.at(5), stage="s1")
    w.deal(updated_at=w.at(1), stage="s2", owner="you")
    assert changes(w) == [("stage", "s1", "s2"), ("owner", "me", "you")]
    told(w, ("stage", "s1", "s0", 4), ("stage", "s0", "s2", 3), ("amount", "1.00", "1000.00", 2))
    assert changes(w) == [
        ("stage", "s1", "s0"),
        ("stage", "s0", "s2"),
        ("amount", "1.00", "1000.00"),
        ("owner", "me", "you"),  # of which the CRM's history does not tell
    ]
    assert w.stored().history_known


def test_a_history_told_again_changes_no_row(w: World) -> None:
    w.deal()
    told(w, ("stage", "s0", "s1", 4), ("amount", None, "1000.00", 2))
    with w.inside():
        before = set(FieldChange.objects.values_list("pk", flat=True))
    told(w, ("amount", None, "1000.00", 2), ("stage", "s0", "s1", 4))
    with w.inside():
        assert set(FieldChange.objects.values_list("pk", flat=True)) == before


def test_a_reopening_before_the_first_synchronisation_is_known_from_the_history(w: World) -> None:
    w.deal(created_at=w.at(60), stage_entered_at=w.at(50))
    assert w.alerts()["no_activity"] == w.day(50)  # created 60 days ago, limit 10
    told(w, ("status", "open", "lost", 30), ("status", "lost", "open", 3))
    assert w.stored().reopened_on == w.day(3)
    assert "no_activity" not in w.alerts()


def test_since_when_the_amount_is_empty_is_known_from_the_history(w: World) -> None:
    w.deal(amount=None, created_at=w.at(20))
    assert w.alerts()["amount_empty"] == w.day(20)
    told(w, ("amount", None, "5.00", 15), ("amount", "5.00", "0.00", 9), ("amount", "0.00", None, 4))
    assert w.alerts()["amount_empty"] == w.day(9)
    w.configure(amount_empty={"zero": False})
    assert w.alerts()["amount_empty"] == w.day(4)


def test_an_amount_that_was_filled_in_again_is_not_empty_since(w: World) -> None:
    w.deal(created_at=w.at(20))
    told(w, ("amount", "5.00", None, 9), ("amount", None, "1000.00", 4))
    assert w.stored().amount_emptied_at is None


def test_the_stage_entry_comes_from_the_history_where_the_crm_does_not_tell_it(w: World) -> None:
    w.deal(created_at=w.at(40), stage_entered_at=None)
    assert (w.stored().stage_entered_on, w.stored().stage_known) == (w.day(40), False)
    told(w, ("stage", "s0", "s1", 14))
    assert (w.stored().stage_entered_on, w.stored().stage_known) == (w.day(14), True)


def test_the_crms_own_stage_entry_comes_before_its_history(w: World) -> None:
    w.deal(created_at=w.at(40), stage_entered_at=w.at(7))
    told(w, ("stage", "s0", "s1", 14))
    assert w.stored().stage_entered_on == w.day(7)


def test_what_was_seen_stays_where_the_crm_has_forgotten_it(w: World) -> None:
    w.deal(status="lost", updated_at=w.at(5), created_at=w.at(40))
    w.deal(updated_at=w.at(2), created_at=w.at(40))
    told(w)
    assert w.stored().reopened_on == w.day(2)


def test_a_history_of_a_deal_that_is_not_here_is_left_out(w: World) -> None:
    w.deal()
    told(w, ("stage", "s0", "s1", 4), deal="gone")
    assert changes(w) == []


# ---- Participants


def test_participants_become_contacts_of_the_deal(w: World) -> None:
    w.contact("ana")
    w.contact("bo", roles=("Champion",))
    w.on_deal("ana")
    participants(w, "ana", "bo", "stranger")
    assert on_deal(w) == {"ana": (False, True, []), "bo": (False, True, []), "stranger": (False, True, [])}
    assert set(w.stored().roles) == {"champion"}
    w.contact("stranger", roles=("Decision maker",))  # arrives after the deal
    assert set(w.stored().roles) == {"champion", "decision maker"}


def test_participants_stay_when_the_deal_is_read_again(w: World) -> None:
    w.deal(contacts=(DealContactRecord("ana", primary=True),))
    participants(w, "ana", "bo")
    w.deal(contacts=(DealContactRecord("bo", primary=True, roles=("Buyer",)),), updated_at=w.at(4))
    assert on_deal(w) == {"ana": (False, True, []), "bo": (True, True, ["buyer"])}
    w.deal(contacts=(), updated_at=w.at(3))
    assert on_deal(w) == {"ana": (False, True, []), "bo": (False, True, [])}


def test_who_left_is_on_the_deal_only_if_the_deal_itself_says_so(w: World) -> None:
    w.deal(contacts=(DealContactRecord("ana", primary=True), DealContactRecord("cy", roles=("Buyer",))))
    participants(w, "ana", "bo", "cy")
    participants(w)
    assert on_deal(w) == {"ana": (True, False, []), "cy": (False, False, ["buyer"])}


def test_a_merged_participant_is_on_the_deal_once(w: World) -> None:
    w.contact("ana")
    w.contact("ana2")
    w.deal(contacts=(DealContactRecord("ana", primary=True),))
    participants(w, "ana", "ana2")
    w.write(merges=[MergeRecord("contacts", "ana", ("ana2",))])
    assert on_deal(w) == {"ana": (True, True, [])}


@pytest.mark.parametrize(
    ("since", "known_on"),
    [
        (timedelta(days=-1), 20),  # took part before the first synchronisation: known as long as the deal
        (timedelta(0), 20),
        (timedelta(seconds=1), 0),
        (None, 20),  # the CRM does not tell; the deal was there
    ],
)
def test_the_role_of_a_participant_is_known_since_the_deal_if_they_took_part_at_the_first_synchronisation(
    w: World, since: timedelta | None, known_on: int
) -> None:
    w.contact("bo", roles=("Champion",))
    w.deal(created_at=w.at(20), updated_at=w.at(20))
    w.source.first_synced_at = w.at(2)
    with w.inside():
        w.source.save(update_fields=["first_synced_at"])
    participants(w, "bo", since=None if since is None else w.at(2) + since)
    assert w.stored().roles["champion"]["since"] == w.day(known_on).isoformat()


def test_who_joins_later_holds_the_role_since_then(w: World) -> None:
    w.contact("bo", roles=("Champion",))
    w.contact("cy", roles=("Decision maker",))
    w.deal(created_at=w.at(20), updated_at=w.at(20))
    w.first_synced()
    participants(w, "bo", since=w.at(9))
    participants(w, "bo", "cy", since=w.at(9))
    assert w.stored().roles["champion"]["since"] == w.day(20).isoformat()
    assert w.stored().roles["decision maker"]["since"] == w.day(0).isoformat()


# ---- What is to be read


@pytest.mark.parametrize(
    ("status", "details", "unread"), [("open", 7, 7), ("open", 0, 0), ("won", 7, 1), ("lost", 6, 0)]
)
def test_of_a_closed_deal_only_the_history_is_read(w: World, status: Any, details: int, unread: int) -> None:
    w.deal(status=status, details=details)
    assert (w.stored().unread, w.stored().waits) == (unread, details)


@pytest.mark.parametrize(
    ("change", "unread"),
    [
        ({"title": "Another"}, 0),
        ({"owner": "you"}, 0),
        ({"stage": "s2"}, 1),
        ({"amount": 5}, 1),
        ({"close_on": None}, 1),
        ({"participants_told": "7/3"}, 2),
        ({"mail_told": "4//"}, 4),
        ({"stage": "s2", "mail_told": "4//", "status": "won"}, 1),
    ],
)
def test_only_what_is_new_is_to_be_read_again(w: World, change: dict[str, Any], unread: int) -> None:
    same = {"details": 7, "participants_told": "7/2", "mail_told": "3//"}
    w.deal(**same)
    with w.inside():
        w.stored().__class__.objects.update(unread=0, waits=0)
    w.deal(**{**same, **change}, updated_at=w.at(1))
    assert (w.stored().unread, w.stored().waits) == (unread, 0)  # no rule waits for what is new


def test_a_deal_that_is_opened_again_is_read_for_what_was_never_read(w: World) -> None:
    w.deal(status="lost", details=6)
    w.deal(status="open", details=6, updated_at=w.at(1))
    assert w.stored().unread == 6
